"""What a verification is made of: named checks, each about one file."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from protocol.errors import ConcauseError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: the file that it says something about, and what was found."""

    name: str
    file: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks that were made; checks that rest on a failed one are not made at all."""

    folder: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the release is, all of it, what the coordinator published."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, object]:
        """Return the outcome as plain values."""
        checks = [asdict(check) for check in self.checks]
        return {"folder": str(self.folder), "ok": self.ok, "checks": checks}


def checked(name: str, file: str, action: Callable[[], str]) -> Check:
    """Return the check that `action` is: passed with the detail that it returns, or refused.

    `action` raises a ConcauseError that says what does not hold.
    """
    try:
        return Check(name, str(file), True, action())
    except ConcauseError as error:
        return Check(name, str(file), False, str(error))
