"""The ledger: what privacy was promised, what was spent, what was refused; nothing is erased.

A round reserves its cost when the site takes part and is charged before its masked vector
leaves. A reservation that was never charged frees its budget once the round's deadline has
passed or the round is given up. A charge is never undone: a crash loses budget, never privacy.
All costs are zCDP rho, exact fractions.
"""

from dataclasses import dataclass
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
    incident TEXT
)

CREATE UNIQUE INDEX ledger_reserves_once ON ledger (session) WHERE kind = 'reservation'

CREATE UNIQUE INDEX ledger_settles_once ON ledger (session) WHERE kind IN ('charge', 'lapse')

CREATE TRIGGER ledger_never_changes BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END

CREATE TRIGGER ledger_never_shrinks BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"""

MAX_REFUSALS_A_DAY = 1000
_DAY_S = 86_400
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
    """The most rho that may ever be spent: on the data in all, and on one study."""

    lifetime: Fraction
    study: Fraction


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
    """What a round asks of the budget; `deadline` in seconds since 1970."""

    session: SessionId
    study: Digest
    rho: Fraction
    deadline: int


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
            _refuse_over(request, "lifetime", self.balance(now=now), caps.lifetime)
            _refuse_over(request, "study", self.balance(now=now, study=request.study), caps.study)
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
            spent = Balance(self._charged(), Fraction(0))
            of_study = Balance(self._charged(request.study), Fraction(0))
            _refuse_over(request, "lifetime", spent, caps.lifetime)
            _refuse_over(request, "study", of_study, caps.study)
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
            "SELECT count(*) FROM ledger WHERE kind = 'refusal' AND at > ?", now - _DAY_S
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
        return Balance(self._charged(study), self._reserved(now, study))

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, oldest first."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM ledger ORDER BY number")  # noqa: S608
        return tuple(_entry(row) for row in rows)

    def _append(self, kind: Kind, request: Request, now: int) -> None:
        self._database.write(
            "INSERT INTO ledger (kind, at, session, study, rho, deadline)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            kind.value,
            now,
            request.session,
            request.study,
            fraction_text(request.rho),
            request.deadline,
        )

    def _is_open(self, session: SessionId, now: int) -> bool:
        query = f"SELECT 1 FROM ledger WHERE session = ? AND deadline >= ? AND {_UNSETTLED}"  # noqa: S608
        return bool(self._database.rows(query, session, now))

    def _charged(self, study: Digest | None = None) -> Fraction:
        return self._total("kind = 'charge'", study)

    def _reserved(self, now: int, study: Digest | None) -> Fraction:
        return self._total(f"deadline >= ? AND {_UNSETTLED}", study, now)

    def _total(self, condition: str, study: Digest | None, *values: object) -> Fraction:
        query = f"SELECT rho FROM ledger WHERE {condition} AND (? IS NULL OR study = ?)"  # noqa: S608
        rows = self._database.rows(query, *values, study, study)
        return sum((parse_fraction(rho) for (rho,) in rows), start=Fraction(0))


def _refuse_over(request: Request, name: str, balance: Balance, cap: Fraction) -> None:
    remaining = balance.remaining(cap)
    if request.rho > remaining:
        raise BudgetError(
            f"{name}-budget-exceeded",
            f"The round costs rho {float(request.rho):.6g}; of the site's {name} budget "
            f"{float(remaining):.6g} is left.",
            "Ask for less, or ask the site to raise its cap. What is spent is never given back.",
            remaining=remaining,
            requested=request.rho,
        )


def _entry(row: Row) -> Entry:
    number, kind, at, session, study, rho, code, incident = row
    cost = None if rho is None else parse_fraction(rho)
    return Entry(number, Kind(kind), at, session, study, cost, code, incident)
