"""The journal: which rounds this site took part in, and how far; the reason it never repeats.

A step is written here, on the disk, before its answer leaves. After a restart the secrets of
a round are gone and its journal is not: the round is lost, its counter is used up, and no
second vector, agreement or reveal can be signed for it.
"""

from dataclasses import dataclass
from enum import StrEnum

from client.gate.database import Database, Row
from protocol.errors import PolicyError
from protocol.identifiers import Digest, PublicKey, SessionId

SCHEMA = """\
CREATE TABLE journal (
    session BLOB PRIMARY KEY,
    coordinator BLOB NOT NULL,
    counter BLOB NOT NULL,
    study BLOB NOT NULL,
    step TEXT NOT NULL,
    survivors BLOB,
    began INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    abandoned INTEGER,
    UNIQUE (coordinator, counter)
)"""

_COLUMNS = "session, coordinator, counter, study, step, survivors, began, changed, abandoned"
MAX_ROUNDS_A_DAY = 1000  # each takes room on the disk, whatever becomes of it
_DAY_S = 86_400
_COUNTER_BYTES = 8  # big-endian, so that SQLite's order of blobs is the order of counters


class Step(StrEnum):
    """How far a round came at this site; each is written before what it names leaves."""

    ADVERTISED = "advertised"
    SHARED = "shared"
    CHARGED = "charged"
    MASKED = "masked"
    AGREED = "agreed"
    REVEALED = "revealed"


FOLLOWS = {
    Step.SHARED: Step.ADVERTISED,
    Step.CHARGED: Step.SHARED,
    Step.MASKED: Step.CHARGED,
    Step.AGREED: Step.MASKED,
    Step.REVEALED: Step.AGREED,
}


@dataclass(frozen=True, slots=True)
class Record:
    """One round of the journal; times in seconds since 1970.

    A round that is `abandoned` came as far as `step` and can never go on.
    """

    session: SessionId
    coordinator: PublicKey
    counter: int
    study: Digest
    step: Step
    survivors: Digest | None
    began: int
    changed: int
    abandoned: int | None


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of a round when it begins."""

    session: SessionId
    coordinator: PublicKey
    counter: int
    study: Digest


class Journal:
    """Rounds in a gate's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check_opening(self, opening: Opening, *, now: int) -> None:
        """Check that a round is new: its counter above every one that this coordinator used.

        Raises:
            PolicyError: it is not, or there were too many in a day.
        """
        if (known := self.find(opening.session)) is not None:
            raise already_run(known)
        last = self.last_counter(opening.coordinator)
        if last is not None and opening.counter <= last:
            raise PolicyError(
                "counter-not-above-journal",
                f"Expected a round counter above {last}, found {opening.counter}.",
                "Issue a new round with the next counter.",
            )
        query = "SELECT count(*) FROM journal WHERE began > ? AND began <= ?"
        if self._database.rows(query, now - _DAY_S, now)[0][0] >= MAX_ROUNDS_A_DAY:
            raise PolicyError(
                "too-many-rounds",
                f"Expected at most {MAX_ROUNDS_A_DAY} rounds in a day, found one more.",
                "Wait a day, and see why so many rounds were begun.",
            )

    def begin(self, opening: Opening, *, now: int) -> None:
        """Write a new round down.

        Raises:
            PolicyError: as `check_opening`; another process may have been faster.
        """
        with self._database.transaction():
            self.check_opening(opening, now=now)
            self._database.write(
                f"INSERT INTO journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, NULL, ?, ?, NULL)",  # noqa: S608
                opening.session,
                opening.coordinator,
                opening.counter.to_bytes(_COUNTER_BYTES, "big"),
                opening.study,
                Step.ADVERTISED.value,
                now,
                now,
            )

    def advance(
        self, session: SessionId, step: Step, *, now: int, survivors: Digest | None = None
    ) -> None:
        """Write the next step of a round down, and the survivors it signed, once.

        Raises:
            PolicyError: the round is not one step before.
        """
        changed = self._database.write(
            "UPDATE journal SET step = ?, survivors = coalesce(survivors, ?), changed = ?"
            " WHERE session = ? AND step = ? AND abandoned IS NULL",
            step.value,
            survivors,
            now,
            session,
            FOLLOWS[step].value,
        )
        if not changed:
            raise PolicyError(
                "step-already-taken",
                f"Expected a round that is not yet {step.value}, found one that is, or that ended.",
                "A site answers each step once. Issue a new round.",
            )

    def abandon(self, session: SessionId, *, now: int) -> None:
        """Write down that a round will never go on here."""
        self._database.write(
            "UPDATE journal SET abandoned = ?"
            " WHERE session = ? AND step <> ? AND abandoned IS NULL",
            now,
            session,
            Step.REVEALED.value,
        )

    def find(self, session: SessionId) -> Record | None:
        """Return a round, or None if this site never took part in it."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM journal WHERE session = ?",  # noqa: S608
            session,
        )
        return _record(rows[0]) if rows else None

    def last_counter(self, coordinator: PublicKey) -> int | None:
        """Return the highest counter that a coordinator has used here."""
        query = "SELECT max(counter) FROM journal WHERE coordinator = ?"
        ((last,),) = self._database.rows(query, coordinator)
        return None if last is None else int.from_bytes(last, "big")

    def records(self) -> tuple[Record, ...]:
        """Return all rounds, oldest first."""
        query = f"SELECT {_COLUMNS} FROM journal ORDER BY began, counter"  # noqa: S608
        return tuple(_record(row) for row in self._database.rows(query))

    def unfinished(self) -> tuple[Record, ...]:
        """Return the rounds that could still go on, if their secrets are at hand."""
        return tuple(
            record
            for record in self.records()
            if record.step is not Step.REVEALED and record.abandoned is None
        )


def already_run(record: Record) -> PolicyError:
    """Return the refusal of a round that this site has been in before."""
    if record.abandoned is not None:
        return PolicyError(
            "round-lost-in-restart",
            "The site was in this round and lost its secrets: it was restarted, or called to a "
            "newer round.",
            "Count this site as dropped out; it takes part again in a new round.",
        )
    return PolicyError(
        "round-already-run",
        f"Expected a new round, found one that this site has {record.step.value} in.",
        "A site answers each step of a round once. Issue a new round with the next counter.",
    )


def _record(row: Row) -> Record:
    session, coordinator, counter, study, step, *rest = row
    number = int.from_bytes(counter, "big")
    return Record(session, coordinator, number, study, Step(step), *rest)
