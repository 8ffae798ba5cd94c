"""Which rounds this aggregator has helped to open: one file each, written before anything leaves.

A round is opened once, ever. Two openings of one round with fresh noise would tell more than the
budget allows, and of two cohorts, the difference.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import PolicyError
from protocol.identifiers import Digest, SessionId
from protocol.secagg.messages import Opened, decode_opened, encode_message
from server.rounds.folder import replace_file

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class SpentRounds:
    """A folder with a file for each round."""

    folder: Path

    def spend(self, session: SessionId, cohort: Digest) -> None:
        """Write down that a round is being opened; it is on the disk when this returns.

        Raises:
            PolicyError: it has been before.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(self._begun(session), flags, _PRIVATE)
        except FileExistsError as error:
            raise PolicyError(
                "already-opened",
                "This aggregator has begun to open the round before; it does so once, ever.",
                "Issue a new round.",
            ) from error
        try:
            os.write(descriptor, cohort.hex().encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sync()

    def is_spent(self, session: SessionId) -> bool:
        """Return whether a round's opening was ever begun here."""
        return self._begun(session).exists()

    def keep(self, opened: Opened) -> None:
        """Keep what was signed, to hand it in again if it was lost on the way."""
        replace_file(self._signed(opened.session), encode_message(opened))

    def kept(self, session: SessionId) -> Opened | None:
        """Return what was signed for a round, if anything was."""
        path = self._signed(session)
        return decode_opened(path.read_bytes()) if path.exists() else None

    def _begun(self, session: SessionId) -> Path:
        return self.folder / f"{session.hex()}.begun"

    def _signed(self, session: SessionId) -> Path:
        return self.folder / f"{session.hex()}.signed"

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
