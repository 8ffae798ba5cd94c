"""Fuzz the decoders, guided by coverage: `python -m tests.fuzz [SECONDS] [TARGET ...]`.

Every target runs in a process of its own for so long (atheris, the extra `fuzz`). What it learns is
kept in its corpus; what fails is written there as `crash-...`, and stays a test from then on.
"""

import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
LONGEST = 20_000  # bytes of an entry


def main(seconds: int, names: list[str]) -> int:
    """Fuzz each target; return how many failed."""
    failed = 0
    for name in names or list(TARGETS):
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        entries = len(list(folder.iterdir()))
        print(f"{name}: {seconds} s from {entries} entries", flush=True)  # noqa: T201 - its output
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(folder)]
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-verbosity=0"]
        options.append(f"-artifact_prefix={folder}/")
        failed += subprocess.run([*command, *options], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    given = sys.argv[1:]
    time_s = int(given[0]) if given and given[0].isdigit() else 30
    sys.exit(main(time_s, [name for name in given if name in TARGETS]))
