"""Errors, split by who must act, with the words that may leave a site.

A message says what was expected, what was found and what to do. It never holds a
data value, a category of the data or an exact count, so that any of these may be
shown to the coordinator (SPEC 8).
"""

from collections.abc import Iterable
from enum import IntEnum
from fractions import Fraction
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command ends with; documented in the README."""

    OK = 0
    BUG = 1
    USAGE = 2
    POLICY = 3
    BUDGET = 4
    PEER = 5
    INFRASTRUCTURE = 6
    COHORT = 7
    INTERRUPTED = 130


class ConcauseError(Exception):
    """A refusal with a stable code, a plain cause and a way to mend it."""

    category: ClassVar[str] = "bug"
    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, code: str, cause: str, remedy: str = "") -> None:
        super().__init__(code, cause, remedy)
        self.code = code
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()


class UsageError(ConcauseError):
    """The caller gave something that is not well formed: a file, a flag, an argument."""

    category = "schema"
    exit_code = ExitCode.USAGE


class PolicyError(ConcauseError):
    """The site's own policy, approval or journal says no."""

    category = "policy"
    exit_code = ExitCode.POLICY


class SiteOnlyError(PolicyError):
    """A rule of the site's that only its own people can mend; nobody outside learns which."""


class BudgetError(ConcauseError):
    """The privacy budget does not cover the request."""

    category = "budget"
    exit_code = ExitCode.BUDGET

    def __init__(
        self, code: str, cause: str, remedy: str, *, remaining: Fraction, requested: Fraction
    ) -> None:
        super().__init__(code, cause, remedy)
        self.remaining = remaining
        self.requested = requested


class PeerError(ConcauseError):
    """Another party broke the protocol; `culprits` names the sites at fault, if known."""

    category = "protocol"
    exit_code = ExitCode.PEER

    def __init__(
        self, code: str, cause: str, remedy: str = "", *, culprits: Iterable[int] = ()
    ) -> None:
        super().__init__(code, cause, remedy)
        self.culprits = tuple(sorted(culprits))


class CohortError(ConcauseError):
    """Too few sites are left; nothing was or will be revealed in this round."""

    category = "cohort"
    exit_code = ExitCode.COHORT

    def __init__(self, code: str, cause: str, remedy: str, *, found: int, needed: int) -> None:
        super().__init__(code, cause, remedy)
        self.found = found
        self.needed = needed


class StorageError(ConcauseError):
    """A disk, database, process or network did not do its part."""

    category = "infrastructure"
    exit_code = ExitCode.INFRASTRUCTURE
