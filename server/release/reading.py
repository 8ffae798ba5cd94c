"""A release read back: the round that it came from, replayed."""

from pathlib import Path

from protocol.errors import UsageError
from protocol.secagg.roster import parse_roster
from protocol.study.document import parse_study
from server.release.basis import Basis, establish
from server.release.folder import FollowedFile, ReleaseFile
from server.rounds.papers import Papers


def read_basis(folder: Path) -> Basis:
    """Return the basis of a release: its study, and the sum of its round.

    The transcript is replayed under the roster of the release, so that the sum is what the sites
    signed; model, rows and report are not looked at (`concause release verify`).

    Raises:
        UsageError: there is no release.
        PeerError, PolicyError: its round does not replay.
    """
    papers = _papers(folder, ReleaseFile)
    follows = parse_study(papers.study_text).plan.follows is not None
    return establish(papers, _papers(folder, FollowedFile) if follows else None)


def _papers(folder: Path, names: type[ReleaseFile] | type[FollowedFile]) -> Papers:
    try:
        return Papers(
            (folder / names.STUDY).read_text(encoding="utf-8"),
            (folder / names.TRANSCRIPT).read_bytes(),
            parse_roster((folder / names.ROSTER).read_bytes()),
        )
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "no-release",
            f"Expected a release in {folder}, found no study, roster and transcript there.",
            "Give the folder of a release, with all its files.",
        ) from error
