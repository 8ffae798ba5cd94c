"""A gate in a process of its own, which kills itself with SIGKILL at a point that it is told.

`python -m tests.support.gate_process FOLDER POINT`: bodies come in behind their length, replies
go out behind theirs. The folder is that of a `World`, whose other sites live with the caller.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from client.gate.means import Point
from tests.support.site_world import NOW, World

ROOT = Path(__file__).parents[2]
NOWHERE = "nowhere"
_LENGTH_BYTES = 4


class GateProcess:
    """A caller's end; site 0 of a world."""

    def __init__(self, world: World, at: Point | None) -> None:
        argv = [sys.executable, "-m", "tests.support.gate_process", str(world.folder)]
        self._process = subprocess.Popen(
            [*argv, at.value if at else NOWHERE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def respond(self, body: bytes) -> dict[str, bytes] | None:
        """Return what the gate replies; None if it was killed before it did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        self._process.stdin.flush()
        kind = self._process.stdout.read(1)
        if not kind:
            self._process.wait()
            return None
        length = int.from_bytes(self._process.stdout.read(_LENGTH_BYTES), "big")
        found = self._process.stdout.read(length)
        return {"body" if kind == b"b" else "refusal": found}

    @property
    def status(self) -> int | None:
        """Return how the process ended, if it has."""
        return self._process.poll()

    def end(self) -> None:
        """End it, as a machine ends when its power goes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def main(folder: Path, at: str) -> None:
    """Answer until the input ends, or the point comes."""
    world = World.reopened(folder)

    def reached(point: Point) -> None:
        if point.value == at:
            os.kill(os.getpid(), signal.SIGKILL)

    gate = world.open(0, reached=reached)
    while length := sys.stdin.buffer.read(_LENGTH_BYTES):
        body = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        ((kind, reply),) = gate.respond(body, now=NOW).items()
        sys.stdout.buffer.write(kind[:1].encode() + len(reply).to_bytes(_LENGTH_BYTES, "big"))
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
