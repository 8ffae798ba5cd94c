"""The release that a new round is to follow: whether it can be, before any budget is spent.

What cannot be known beforehand is which sites will answer. If others are in the new sum than in
the earlier one, the two are not combined (`server/release/basis.py`).
"""

from pathlib import Path

from protocol.errors import PeerError, UsageError
from protocol.secagg.roster import Roster, parse_roster
from protocol.study.study import Study
from server.release.basis import Basis, establish_followed
from server.release.folder import ReleaseFile
from server.release.verify import verify_release
from server.rounds.papers import FollowedRound, Papers, check_followed


def read_followed(folder: Path, study: Study, roster: Roster) -> FollowedRound:
    """Return the round of a release, for a round of `study` under `roster` to follow.

    The release is verified as `concause release verify` does.

    Raises:
        UsageError: there is no release, the study does not follow its study, or the sites of its
            sum are not in the roster or too few for the study.
        PeerError: the release does not verify.
    """
    check_followed(study, given=True)
    _check_verifies(folder)
    papers = Papers(
        (folder / ReleaseFile.STUDY).read_text(encoding="utf-8"),
        (folder / ReleaseFile.TRANSCRIPT).read_bytes(),
        parse_roster((folder / ReleaseFile.ROSTER).read_bytes()),
    )
    first = establish_followed(study, papers)
    assert first is not None  # noqa: S101 - there are papers
    _check_sites(first, study, roster)
    return FollowedRound(papers, first.contributed)


def _check_verifies(folder: Path) -> None:
    failures = verify_release(folder).failures
    if failures:
        first = failures[0]
        raise PeerError(
            "earlier-not-verified",
            f"Expected a release that verifies, found in {first.file!r}: {first.detail}",
            "Get it again from its publisher; `concause release verify` shows every check.",
        )


def _check_sites(first: Basis, study: Study, roster: Roster) -> None:
    gone = [site.name for site in first.members if site not in roster.sites]
    if gone:
        raise UsageError(
            "other-sites",
            "Expected every site of the earlier sum in the roster with the same key, did not find "
            f"{', '.join(gone)}.",
            "Use the roster of the earlier round, or issue a study of its own without `follows`.",
        )
    if len(first.members) < study.cohort.n_min:
        raise UsageError(
            "earlier-too-few-sites",
            f"Expected an earlier sum over at least n_min = {study.cohort.n_min} sites, found "
            f"{len(first.members)}; only the same sites can be combined.",
            "Lower cohort.n_min in the study, or issue one of its own without `follows`.",
        )
