"""One measurement of a benchmark, and how two things are timed fairly against each other."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON_FIELDS = (
    *("name", "value", "unit", "peer", "peer_value", "ratio"),
    *("limit", "limit_value", "target", "target_most", "met"),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the table and one object of `build/bench.json`.

    `ratio` is value / peer_value. `target` is what `value` (targets_ratio False) or
    `ratio` (True) has to reach; `at_least` says from which side. With `target_most`, it may also
    be no more than that.
    """

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    limit: str = ""
    limit_value: float | None = None
    target: float | None = None
    targets_ratio: bool = True
    at_least: bool = True
    target_most: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return value / peer_value, or None without a peer."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Return whether the target is reached, or None without a target."""
        reached = self.ratio if self.targets_ratio else self.value
        if self.target is None or reached is None:
            return None
        if self.target_most is not None and not reached <= self.target_most:
            return False
        return reached >= self.target if self.at_least else reached <= self.target

    @property
    def target_text(self) -> str:
        """Return the target as people write it."""
        if self.target is None:
            return ""
        if self.target_most is not None:
            return f"{self.target:g} to {self.target_most:g}"
        sign = ">=" if self.at_least else "<="
        return f"{'ratio ' if self.targets_ratio else ''}{sign} {self.target:g}"

    def to_json(self) -> dict[str, Any]:
        """Return the object for `build/bench.json`."""
        return {field: getattr(self, field) for field in JSON_FIELDS}


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that one call of `work` takes."""
    return _seconds(work, time.process_time)


def interleaved(
    *works: Callable[[], object], repeats: int = 7, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Return the median seconds of each of `works` by `clock`, run in the order A B A B ...

    Each runs once unmeasured first, so that caches and compilation count for none.
    """
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for index, work in enumerate(works):
            seconds[index].append(_seconds(work, clock))
    return [statistics.median(times) for times in seconds]


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    before = clock()
    work()
    return clock() - before


def own_peak() -> float:
    """Return this process's peak memory in MB; getrusage would count the parent's until exec."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
