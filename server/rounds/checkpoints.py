"""The newest audit checkpoint of each site, kept by the coordinator across rounds (SPEC 7.9)."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from protocol.checkpoints import join_checkpoints, read_checkpoint
from protocol.identifiers import PublicKey
from protocol.secagg.roster import Roster
from server.rounds.folder import replace_file

FILE = "checkpoints.json"
_ENTRIES = TypeAdapter(dict[str, str])


class KeptCheckpoints:
    """The file of checkpoints beside the round folders, by public key."""

    def __init__(self, rounds: Path) -> None:
        self._path = rounds / FILE
        self._fresh: dict[str, str] = {}

    def together(self, roster: Roster) -> bytes:
        """Return those of the sites of a roster, as they travel; none of a site that has none."""
        kept = self._read()
        entries = (kept.get(site.key.hex()) for site in roster.sites)
        return join_checkpoints(bytes.fromhex(entry) for entry in entries if entry)

    def take(self, site: PublicKey, encoded: bytes) -> None:
        """Note what came with an answer of a site; anything but its own checkpoint is dropped."""
        if read_checkpoint(encoded, site) is not None:
            self._fresh[site.hex()] = encoded.hex()

    def write(self) -> None:
        """Bring to the disk what was taken since."""
        if self._fresh:
            replace_file(self._path, _ENTRIES.dump_json({**self._read(), **self._fresh}, indent=1))
            self._fresh = {}

    def _read(self) -> Mapping[str, str]:
        """Return the file's entries; a damaged file only loses a means to notice, so: none."""
        try:
            return _ENTRIES.validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return {}
