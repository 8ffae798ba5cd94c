"""Verification of a release: first every byte, then every step from the round to the report.

The folder must hold what the manifest lists and nothing else, under a signature by the
coordinator of the roster. Only then are its files read: see `server/release/remake.py`.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from protocol.errors import ConcauseError, PeerError, UsageError
from protocol.secagg.roster import Roster, parse_roster
from server.release.checks import Check, Verification
from server.release.folder import FollowedFile, ReleaseFile, content_of, file_digest
from server.release.manifest import FileRecord, Manifest, decode_manifest
from server.release.remake import remake

__all__ = ["Check", "Verification", "verify_release"]


def verify_release(folder: Path, *, roster: Roster | None = None) -> Verification:
    """Return what holds and what does not; a failed check names its file.

    Without a pinned `roster` the release's own is used, and a note says so: the release is
    then shown to agree with itself, not to come from a coordinator that you know.

    Raises:
        UsageError: there is no folder to look at.
    """
    if not any((folder / name).exists() for name in ReleaseFile):
        raise UsageError(
            "no-release",
            f"Expected the folder of a release, found none at {str(folder)!r}.",
            "Give the folder that holds manifest.json.",
        )
    return Verification(folder, tuple(_checks(folder, roster)))


def _checks(folder: Path, pinned: Roster | None) -> Iterator[Check]:
    """Yield the checks; a stage that fails is the last one."""
    content = _listed_content(folder / ReleaseFile.MANIFEST)
    listing = tuple(_check_listing(folder, (*content, ReleaseFile.MANIFEST)))
    yield from listing
    if listing:
        return
    signed, manifest = _check_manifest(folder / ReleaseFile.MANIFEST, content)
    yield signed
    if manifest is None:
        return
    contents = [_check_bytes(folder / name, manifest.files[name]) for name in content]
    contents += _check_signer(folder / ReleaseFile.ROSTER, manifest, pinned)
    yield from contents
    if all(check.passed for check in contents):
        yield from remake(folder, manifest)


def _listed_content(path: Path) -> tuple[str, ...]:
    """Return the files of a release as the manifest lists them: what to look for, unchecked."""
    try:
        files = set(decode_manifest(path.read_bytes()).manifest.files)
    except (ConcauseError, OSError):
        return content_of(1)
    follows = files.issuperset(FollowedFile)
    copies = max(len(files) - len(content_of(1, follows=follows)) + 1, 1)
    content = content_of(copies, follows=follows)
    return content if files == set(content) else content_of(1)


def _check_listing(folder: Path, names: Collection[str]) -> Iterator[Check]:
    """Yield a failed check for each file that is missing, or is there and should not be."""
    for name in names:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield Check("file is there", path.name, False, "Expected a file, found none.")
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            yield Check("nothing else is there", path.name, False, "Not a file of a release.")


def _check_manifest(path: Path, content: Collection[str]) -> tuple[Check, Manifest | None]:
    name = "manifest is signed"
    try:
        signed = decode_manifest(path.read_bytes())
        signed.verify()
        if set(signed.manifest.files) != set(content):
            raise PeerError("other-files", "Expected every file of a release listed, no other.")
    except ConcauseError as error:
        return Check(name, path.name, False, str(error)), None
    detail = f"by the key {signed.manifest.coordinator[:16]}…"
    return Check(name, path.name, True, detail), signed.manifest


def _check_bytes(path: Path, record: FileRecord) -> Check:
    size = path.stat().st_size
    if size != record.size:
        detail = f"Expected {record.size:,} bytes, found {size:,}."
        return Check("bytes are as signed", path.name, False, detail)
    passed = file_digest(path).hex() == record.sha256
    detail = f"SHA-256 {record.sha256[:16]}…" if passed else "Its SHA-256 is not the signed one."
    return Check("bytes are as signed", path.name, passed, detail)


def _check_signer(path: Path, manifest: Manifest, pinned: Roster | None) -> Iterator[Check]:
    """Yield whether the roster is the trusted one, and whether its coordinator signed."""
    own = "the release's own; give yours to know who signed"
    try:
        published = parse_roster(path.read_bytes())
    except ConcauseError as error:
        yield Check("roster is trusted", path.name, False, str(error))
        return
    if pinned is not None and published != pinned:
        detail = "It is another roster than the pinned one, which must be the one of the round."
        yield Check("roster is trusted", path.name, False, detail)
        return
    yield Check("roster is trusted", path.name, True, own if pinned is None else "pinned")
    passed = manifest.coordinator == published.coordinator.hex()
    detail = "" if passed else "Expected the coordinator's key, found that another key signed."
    yield Check("coordinator signed", str(ReleaseFile.MANIFEST), passed, detail)
