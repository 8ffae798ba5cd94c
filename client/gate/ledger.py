"""The ledger: what privacy was promised, what was spent, what was refused; nothing is erased.

A round reserves its cost when the site takes part and is charged before its masked vector
leaves. A reservation that was never charged frees its budget once the round's deadline has
passed or the round is given up. A charge is never undone: a crash loses budget, never privacy.
All costs are zCDP rho, exact fractions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from client.gate.database import Database, Row
from protocol.canonical import fraction_text, parse_fraction
from protocol.errors import BudgetError, PolicyError
from protocol.identifiers import Digest, SessionId

SCHEMA = """\
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('reservation', 'charge', 'lapse', 'refusal')),
    at INTEGER NOT NULL,
    session BLOB,
    study BLOB,
    rho TEXT,
    deadline INTEGER,
    code TEXT,
    incident TEXT,
    envelope BLOB
)

CREATE UNIQUE INDEX ledger_reserves_once ON ledger (session) WHERE kind = 'reservation'

CREATE UNIQUE INDEX ledger_settles_once ON ledger (session) WHERE kind IN ('charge', 'lapse')

CREATE TRIGGER ledger_never_changes BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END

CREATE TRIGGER ledger_never_shrinks BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"""

MAX_REFUSALS_A_DAY = 1000
_DAY_S = 86_400
YEAR_S = 365 * _DAY_S
_COLUMNS = "number, kind, at, session, study, rho, code, incident"
_UNSETTLED = (
    "kind = 'reservation' AND NOT EXISTS (SELECT 1 FROM ledger AS settled"
    " WHERE settled.session = ledger.session AND settled.kind IN ('charge', 'lapse'))"
)


class Kind(StrEnum):
    """What an entry says."""

    RESERVATION = "reservation"
    CHARGE = "charge"
    LAPSE = "lapse"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Caps:
    """The most rho that may be spent: on the data ever, in any 365 days, and on one study.

    `envelope`: on all studies that were admitted under the same envelope.
    """

    lifetime: Fraction
    study: Fraction
    year: Fraction | None = None
    envelope: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What is spent, and what is promised to rounds that are under way."""

    charged: Fraction
    reserved: Fraction

    def remaining(self, cap: Fraction) -> Fraction:
        """Return what a cap still allows, never below 0."""
        return max(Fraction(0), cap - self.charged - self.reserved)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; `at` in seconds since 1970."""

    number: int
    kind: Kind
    at: int
    session: SessionId | None
    study: Digest | None
    rho: Fraction | None
    code: str | None
    incident: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a round asks of the budget; `deadline` in seconds since 1970.

    `envelope` is the hash of the one under which its study was admitted.
    """

    session: SessionId
    study: Digest
    rho: Fraction
    deadline: int
    envelope: Digest | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """The entries that one cap is about."""

    study: Digest | None = None
    envelope: Digest | None = None
    since: int | None = None

    @property
    def where(self) -> tuple[str, tuple[object, ...]]:
        conditions = {"study = ?": self.study, "envelope = ?": self.envelope, "at > ?": self.since}
        given = {text: value for text, value in conditions.items() if value is not None}
        return "".join(f" AND {text}" for text in given), tuple(given.values())


class Ledger:
    """Entries in a gate's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, request: Request, caps: Caps, *, now: int) -> None:
        """Promise a round its cost.

        Raises:
            BudgetError: a cap does not cover it; nothing was promised.
        """
        with self._database.transaction():
            for name, cap, part in _caps(request, caps, now):
                _refuse_over(request, name, self._balance(part, now), cap)
            self._append(Kind.RESERVATION, request, now)

    def charge(self, request: Request, caps: Caps, *, now: int) -> None:
        """Spend what was promised; for good.

        What was spent is held against the caps once more, for a clock that was set back may
        have shown the same budget as free to two rounds.

        Raises:
            PolicyError: nothing is promised to this round, or not any more.
            BudgetError: a cap does not cover it any more.
        """
        with self._database.transaction():
            if not self._is_open(request.session, now):
                raise PolicyError(
                    "reservation-lapsed",
                    "Expected budget reserved for this round, found none that is still held.",
                    "Issue a new round with a later deadline.",
                )
            for name, cap, part in _caps(request, caps, now):
                _refuse_over(request, name, Balance(self._charged(part), Fraction(0)), cap)
            self._append(Kind.CHARGE, request, now)

    def lapse(self, session: SessionId, *, now: int) -> None:
        """Free what a round was promised and never charged; it can never be charged again."""
        self._database.write(
            "INSERT INTO ledger (kind, at, session, study, rho) SELECT 'lapse', ?, session,"  # noqa: S608
            f" study, rho FROM ledger WHERE session = ? AND {_UNSETTLED}",
            now,
            session,
        )

    def note_refusal(
        self,
        code: str,
        incident: str,
        *,
        session: SessionId | None,
        study: Digest | None,
        now: int,
    ) -> bool:
        """Record that the gate said no, and to what; return whether it was recorded.

        At most MAX_REFUSALS_A_DAY: anyone on the way may send what has to be refused, and must
        not fill the site's disk with it.
        """
        ((recent,),) = self._database.rows(
            "SELECT count(*) FROM ledger WHERE kind = 'refusal' AND at > ? AND at <= ?",
            now - _DAY_S,
            now,
        )
        if recent >= MAX_REFUSALS_A_DAY:
            return False
        self._database.write(
            "INSERT INTO ledger (kind, at, session, study, code, incident)"
            " VALUES ('refusal', ?, ?, ?, ?, ?)",
            now,
            session,
            study,
            code,
            incident,
        )
        return True

    def balance(self, *, now: int, study: Digest | None = None) -> Balance:
        """Return what is spent and promised, in all or on one study."""
        return self._balance(_Part(study=study), now)

    def balance_of_year(self, *, now: int) -> Balance:
        """Return what was spent in the last 365 days, and what is promised."""
        return self._balance(_Part(since=now - YEAR_S), now)

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, oldest first."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM ledger ORDER BY number")  # noqa: S608
        return tuple(_entry(row) for row in rows)

    def _append(self, kind: Kind, request: Request, now: int) -> None:
        self._database.write(
            "INSERT INTO ledger (kind, at, session, study, rho, deadline, envelope)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            kind.value,
            now,
            request.session,
            request.study,
            fraction_text(request.rho),
            request.deadline,
            request.envelope,
        )

    def _is_open(self, session: SessionId, now: int) -> bool:
        query = f"SELECT 1 FROM ledger WHERE session = ? AND deadline >= ? AND {_UNSETTLED}"  # noqa: S608
        return bool(self._database.rows(query, session, now))

    def _balance(self, part: _Part, now: int) -> Balance:
        promised = replace(part, since=None)  # whenever it was promised, it would be spent now
        reserved = self._total(f"deadline >= ? AND {_UNSETTLED}", promised, now)
        return Balance(self._charged(part), reserved)

    def _charged(self, part: _Part) -> Fraction:
        return self._total("kind = 'charge'", part)

    def _total(self, condition: str, part: _Part, *values: object) -> Fraction:
        more, bound = part.where
        query = f"SELECT rho FROM ledger WHERE {condition}{more}"  # noqa: S608
        rows = self._database.rows(query, *values, *bound)
        return sum((parse_fraction(rho) for (rho,) in rows), start=Fraction(0))


def _caps(request: Request, caps: Caps, now: int) -> Iterator[tuple[str, Fraction, _Part]]:
    """Yield each cap that a round is held against, with the entries that it is about."""
    yield "lifetime", caps.lifetime, _Part()
    if caps.year is not None:
        yield "yearly", caps.year, _Part(since=now - YEAR_S)
    yield "study", caps.study, _Part(study=request.study)
    if caps.envelope is not None:
        yield "envelope", caps.envelope, _Part(envelope=request.envelope)


def _refuse_over(request: Request, name: str, balance: Balance, cap: Fraction) -> None:
    remaining = balance.remaining(cap)
    if request.rho > remaining:
        raise BudgetError(
            f"{name}-budget-exceeded",
            f"The round costs rho {float(request.rho):.6g}; of the site's {name} budget "
            f"{float(remaining):.6g} is left. It is short by {float(request.rho - remaining):.2g}.",
            "Ask for less, or ask the site to raise its cap. What is spent is never given back.",
            remaining=remaining,
            requested=request.rho,
        )


def _entry(row: Row) -> Entry:
    number, kind, at, session, study, rho, code, incident = row
    cost = None if rho is None else parse_fraction(rho)
    return Entry(number, Kind(kind), at, session, study, cost, code, incident)
