"""A worker process: makes some partitions of a folder.

`python -m server.causal.production.worker FOLDER`. It reads the numbers of its partitions, a JSON
list, says a line of JSON per batch and per partition, and ends when its parent does.
"""

import json
import os
import sys
from pathlib import Path

from protocol.errors import ConcauseError
from server.causal.production.folder import load_folder, make_partition


def main() -> int:
    """Make this worker's share; return the exit code."""
    folder, parent = Path(sys.argv[1]), os.getppid()
    try:
        request, model = load_folder(folder)
        for index in json.load(sys.stdin):
            if os.getppid() != parent:
                return 0
            made = make_partition(folder, model, request, index, progress=_report)
            _say({"partition": made.name, "sha256": made.sha256})
    except ConcauseError as error:
        _say({"error": [type(error).__name__, error.code, error.cause, error.remedy]})
        return int(error.exit_code)
    return 0


def _report(rows: int) -> None:
    _say({"rows": rows})


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    sys.exit(main())
