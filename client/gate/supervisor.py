"""Keeps the site's SuperNode running: starts it again whenever it ends, until told to stop."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from client.gate.site_log import SiteLog


@dataclass(frozen=True, slots=True)
class Patience:
    """How a child that ends is treated; in seconds.

    Flower refuses a SuperNode's key for about 50 s after a crash, so waits grow to that.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    settled_s: float = 120.0  # a child that ran this long had started well
    grace_s: float = 10.0  # between being asked to end and being made to

    def after(self, failures: int) -> float:
        """Return the wait after so many short lives in a row."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 16))


_NOT_CONNECTED = b"Exit Code: 305"  # SUPERNODE_CONNECTION_ERROR of Flower 1.41
_LAST_WORDS = 4096
_UNCONNECTED = (
    "The SuperLink cannot be reached (run `concause site doctor`), or still holds the key of a "
    "SuperNode that crashed: Flower frees it after about 50 s. It is tried again."
)


class Supervisor:
    """Runs one command again and again; its output goes to a file of the site."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], output: Path, log: SiteLog
    ) -> None:
        self._argv = list(argv)
        self._environment = dict(environment)
        self._output = output
        self._log = log

    def run(self, stop: threading.Event, patience: Patience | None = None) -> None:
        """Keep the child running until `stop` is set; then end it, and return."""
        patience = patience or Patience()
        failures = 0
        while not stop.is_set():
            began, size = time.monotonic(), self._size()
            status = self._life(stop, patience)
            if stop.is_set():
                return
            failures = 1 if time.monotonic() - began > patience.settled_s else failures + 1
            delay = patience.after(failures)
            self._log.alarm(
                "supernode-ended",
                exit_code=status,
                attempt=failures,
                delay_s=delay,
                remedy=_UNCONNECTED if self._was_not_connected(size) else None,
            )
            stop.wait(delay)

    def _size(self) -> int:
        return self._output.stat().st_size if self._output.exists() else 0

    def _was_not_connected(self, since: int) -> bool:
        """Return whether the child, by its last words since then, found no way in."""
        with suppress(OSError), self._output.open("rb") as output:
            output.seek(max(since, self._size() - _LAST_WORDS))
            return _NOT_CONNECTED in output.read()
        return False

    def _life(self, stop: threading.Event, patience: Patience) -> int | None:
        try:
            return self._live(stop, patience)
        except OSError as error:  # not installed, or no process to be had: it may pass
            self._log.alarm("supernode-not-started", error=error)
            return None

    def _live(self, stop: threading.Event, patience: Patience) -> int:
        with (
            self._output.open("ab") as output,
            subprocess.Popen(
                self._argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as child,
        ):
            while child.poll() is None and not stop.wait(0.2):
                pass
            return _end(child, patience.grace_s)


def _end(child: subprocess.Popen[bytes], grace_s: float) -> int:
    child.terminate()  # does nothing to one that has ended
    try:
        return child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
