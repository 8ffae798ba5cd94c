"""The `concause` command as a person runs it."""

import subprocess
import sys


def concause_command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Return what a `concause` command did."""
    argv = [sys.executable, "-m", "concause", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
