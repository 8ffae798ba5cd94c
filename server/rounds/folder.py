"""A round on the coordinator's disk: what was issued, what has come, how it stands.

The transcript is the round's only checkpoint (SPEC 6): an event is on the disk before
anything that follows from it leaves the coordinator.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from protocol.errors import StorageError, UsageError
from protocol.identifiers import SiteId
from protocol.secagg.coordinator_states import Event
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.roster import Roster, parse_roster
from protocol.secagg.transcript import (
    Header,
    decode,
    encode_event,
    encode_header,
    intact_length,
)
from server.rounds.carrier import Address
from server.rounds.papers import FollowedRound, Papers
from server.rounds.status import RoundStatus

_ADDRESSES = TypeAdapter(dict[str, int])
_NAMES = TypeAdapter(tuple[str, ...])
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class RoundFolder:
    """The files of one round, by name."""

    path: Path

    @property
    def descriptor(self) -> Path:
        """Return the signed descriptor."""
        return self.path / "descriptor.bin"

    @property
    def roster(self) -> Path:
        """Return the copy of the roster."""
        return self.path / "roster.json"

    @property
    def study(self) -> Path:
        """Return the copy of the study."""
        return self.path / "study.toml"

    @property
    def transcript(self) -> Path:
        """Return the event log."""
        return self.path / "transcript.bin"

    @property
    def status(self) -> Path:
        """Return the status, for people."""
        return self.path / "status.json"

    @property
    def addresses(self) -> Path:
        """Return which address was found to be which site."""
        return self.path / "addresses.json"

    @property
    def openings(self) -> Path:
        """Return the folder of what aggregators handed in, by their place in the roster."""
        return self.path / "openings"

    @property
    def sites(self) -> Path:
        """Return the names of the sites that may take part, if not all of the roster may."""
        return self.path / "sites.json"

    @property
    def followed(self) -> "RoundFolder | None":
        """Return the papers of the round that this one follows, if it follows one."""
        folder = self.path / "earlier"
        return RoundFolder(folder) if folder.exists() else None

    def read_papers(self) -> Papers:
        """Return the papers of a finished round.

        Raises:
            UsageError: this is not a round folder, or a file in it was changed.
        """
        study = _read(self.study).decode(errors="replace")
        return Papers(study, _read(self.transcript), parse_roster(_read(self.roster)))

    def read_sites(self) -> frozenset[str] | None:
        """Return the names of the sites that may take part; None if all may.

        Raises:
            UsageError: the file is damaged.
        """
        if not self.sites.exists():
            return None
        try:
            return frozenset(_NAMES.validate_json(_read(self.sites)))
        except ValidationError as error:
            raise UsageError(
                "damaged-sites",
                f"Expected a list of names in {self.sites}, found something else.",
                "Restore that file, or issue a new round.",
            ) from error

    def read_header(self) -> Header:
        """Return the round as issued.

        Raises:
            UsageError: this is not a round folder, or a file in it was changed.
        """
        roster = parse_roster(_read(self.roster))
        return Header(roster, SignedDescriptor.decode(_read(self.descriptor)))

    def read_status(self) -> RoundStatus | None:
        """Return the last status, or None if there is none yet.

        Raises:
            UsageError: the file is damaged.
        """
        if not self.status.exists():
            return None
        try:
            return RoundStatus.model_validate_json(_read(self.status))
        except ValidationError as error:
            raise UsageError(
                "damaged-status",
                f"Expected the status of a round in {self.status}, found something else.",
                "Delete that file; the next driver of the round writes it anew.",
            ) from error

    def write_status(self, status: RoundStatus) -> None:
        """Replace the status; a reader sees the old one or the new one."""
        content = status.model_dump_json(indent=1).encode() + b"\n"
        replace_file(self.status, content, durable=False)  # written often, needed by nobody

    def read_addresses(self, roster: Roster) -> dict[Address, SiteId]:
        """Return the sites whose addresses are known; none if there is no such file.

        Raises:
            UsageError: the file is damaged.
        """
        if not self.addresses.exists():
            return {}
        try:
            names = _ADDRESSES.validate_json(_read(self.addresses))
        except ValidationError as error:
            raise UsageError(
                "damaged-addresses",
                f"Expected an address for each site in {self.addresses}, found something else.",
                "Restore that file, or issue a new round.",
            ) from error
        return {Address(address): roster.site_id(name) for name, address in names.items()}

    def write_addresses(self, roster: Roster, sites: Mapping[Address, SiteId]) -> None:
        """Replace the addresses; a driver that takes up the round finds the sites by them."""
        names = {roster.sites[site].name: int(address) for address, site in sites.items()}
        replace_file(self.addresses, _ADDRESSES.dump_json(names, indent=1) + b"\n")

    def read_openings(self) -> dict[int, bytes]:
        """Return what each aggregator handed in, by its place in the roster."""
        found = {int(path.stem): path for path in self.openings.glob("[0-9].bin")}
        return {place: _read(path) for place, path in found.items()}

    def write_opening(self, place: int, document: bytes) -> None:
        """Keep what an aggregator handed in; the driver takes it from there."""
        self.openings.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        replace_file(self.openings / f"{place}.bin", document)

    @contextmanager
    def open_transcript(self) -> Iterator["TranscriptFile"]:
        """Open the transcript for this driver alone; start it if there is none.

        A last frame that a crash cut off is cut away: nothing was sent that follows from it.

        Raises:
            StorageError: another driver has it open.
            PeerError: it is damaged other than at its end.
        """
        header = self.read_header()
        descriptor = os.open(self.transcript, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            _lock(descriptor, self.path)
            _sync_folder(self.path)
            yield _recover(descriptor, header)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """An open transcript: what it held, and where the next event goes."""

    header: Header
    events: tuple[Event, ...]
    descriptor: int

    def append(self, event: Event) -> None:
        """Write one event; it is on the disk when this returns."""
        _write_durably(self.descriptor, encode_event(event))


def create_round_folder(
    path: Path, header: Header, study_text: str, followed: FollowedRound | None = None
) -> RoundFolder:
    """Make the folder of a new round, readable by its owner only.

    With a followed round it holds the papers of that one, and leaves its sum's sites alone in.

    Raises:
        StorageError: something is there already.
    """
    try:
        path.mkdir(mode=_PRIVATE_FOLDER, parents=True)
    except FileExistsError as error:
        raise StorageError(
            "round-exists",
            f"Expected to make {path}, found something there.",
            "A round is issued once; choose another folder.",
        ) from error
    folder = RoundFolder(path)
    if followed is not None:
        _keep_followed(folder, followed)
    replace_file(folder.study, study_text.encode())
    replace_file(folder.roster, header.roster.canonical)
    replace_file(folder.descriptor, header.signed.encode())
    return folder


def _keep_followed(folder: RoundFolder, followed: FollowedRound) -> None:
    earlier = RoundFolder(folder.path / "earlier")
    earlier.path.mkdir(mode=_PRIVATE_FOLDER)
    replace_file(earlier.study, followed.papers.study_text.encode())
    replace_file(earlier.roster, followed.papers.roster.canonical)
    replace_file(earlier.transcript, followed.papers.transcript)
    replace_file(folder.sites, _NAMES.dump_json(followed.sites) + b"\n")


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; if durable, it is on the disk when this returns."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        _write(descriptor, content)
        if durable:
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    if durable:
        _sync_folder(path.parent)


def _recover(descriptor: int, header: Header) -> TranscriptFile:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        found = file.read()
    opening = encode_header(header)
    if opening.startswith(found):  # empty, or a crash while its header was written
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_durably(descriptor, opening)
        return TranscriptFile(header, (), descriptor)
    found_header, events = decode(found, allow_truncated_tail=True)
    if found_header != header:
        raise UsageError(
            "other-transcript",
            "Expected the transcript of this folder's descriptor and roster, found another.",
            "Restore the folder as the round was issued, or issue a new round.",
        )
    os.ftruncate(descriptor, intact_length(found))
    os.lseek(descriptor, 0, os.SEEK_END)
    return TranscriptFile(header, events, descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            "round-in-progress",
            f"Expected to drive the round in {path}, found another process that does.",
            "Wait until it ends, or stop it.",
        ) from error


def _write_durably(descriptor: int, content: bytes) -> None:
    _write(descriptor, content)
    os.fsync(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            "not-a-round-folder",
            f"Expected {path}, found no such file.",
            "Give the folder that `concause round start` printed.",
        ) from error
