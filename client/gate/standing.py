"""Pause and withdrawal: the switches by which people of a site stop what they had allowed.

Entries only grow, like the ledger's; the last one counts. A withdrawal ends one approval for good:
the study needs a new one, and nothing that was spent comes back.
"""

from client.gate.approvals import ApprovalTerms
from client.gate.database import Database
from protocol.errors import PolicyError
from protocol.identifiers import Digest

SCHEMA = """\
CREATE TABLE standing (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('pause', 'resume', 'withdrawal')),
    at INTEGER NOT NULL,
    study BLOB,
    terms BLOB
)

CREATE TRIGGER standing_never_changes BEFORE UPDATE ON standing
BEGIN SELECT RAISE(ABORT, 'the switches only grow'); END

CREATE TRIGGER standing_never_shrinks BEFORE DELETE ON standing
BEGIN SELECT RAISE(ABORT, 'the switches only grow'); END"""


class Standing:
    """The switches in a gate's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def paused(self) -> bool:
        """Return whether the site answers nothing."""
        rows = self._database.rows(
            "SELECT kind FROM standing WHERE kind IN ('pause', 'resume')"
            " ORDER BY number DESC LIMIT 1"
        )
        return bool(rows) and rows[0][0] == "pause"

    def pause(self, *, now: int) -> None:
        """Stop every round."""
        self._write("pause", now)

    def resume(self, *, now: int) -> None:
        """Let rounds go on."""
        self._write("resume", now)

    def withdraw(self, terms: ApprovalTerms, *, now: int) -> None:
        """End the approval with these terms."""
        self._write("withdrawal", now, terms.study, terms.hash)

    def is_withdrawn(self, terms: ApprovalTerms) -> bool:
        """Return whether the approval with these terms was ended."""
        query = "SELECT 1 FROM standing WHERE kind = 'withdrawal' AND terms = ?"
        return bool(self._database.rows(query, terms.hash))

    def check_at_work(self) -> None:
        """Check that the site is not paused.

        Raises:
            PolicyError: it is.
        """
        if self.paused:
            raise PolicyError(
                "site-paused",
                "The site has paused all rounds.",
                "Wait for the site; its administrator may end the pause.",
            )

    def check_not_withdrawn(self, terms: ApprovalTerms) -> None:
        """Check that the approval with these terms was not ended.

        Raises:
            PolicyError: it was.
        """
        if self.is_withdrawn(terms):
            raise PolicyError(
                "approval-withdrawn",
                "The site has withdrawn its approval of this study.",
                "Ask the site why; it would have to approve the study anew.",
            )

    def _write(
        self, kind: str, now: int, study: Digest | None = None, terms: Digest | None = None
    ) -> None:
        self._database.write(
            "INSERT INTO standing (kind, at, study, terms) VALUES (?, ?, ?, ?)",
            kind,
            now,
            study,
            terms,
        )
