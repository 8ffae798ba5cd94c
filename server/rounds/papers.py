"""The papers of a finished round: all that anybody needs to replay it."""

from dataclasses import dataclass, field

from protocol.errors import UsageError
from protocol.secagg.roster import Roster
from protocol.study.study import Study


@dataclass(frozen=True, slots=True)
class Papers:
    """A study as its author wrote it, and what a round of it left behind."""

    study_text: str
    transcript: bytes = field(repr=False)
    roster: Roster


@dataclass(frozen=True, slots=True)
class FollowedRound:
    """A round that a new one follows, and the names of the sites in its sum."""

    papers: Papers
    sites: tuple[str, ...]


def check_followed(study: Study, *, given: bool) -> None:
    """Check that an earlier round is given if, and only if, the study follows another.

    Raises:
        UsageError: it is missing, or not called for.
    """
    if study.plan.follows is not None and not given:
        raise UsageError(
            "earlier-missing",
            f"Expected the release of the study that {study.name!r} follows "
            f"({study.plan.follows[:16]}...), found none.",
            "Give its folder with --earlier, or take `follows` out of [plan].",
        )
    if study.plan.follows is None and given:
        raise UsageError(
            "follows-none",
            f"Expected a study that follows another, found that {study.name!r} follows none.",
            "Leave out --earlier, or let `concause study direct --prior RELEASE` write [plan].",
        )
