"""What a release is made from: a study, a round's transcript and a roster that fit together.

Of a study that follows another, also the round of that one. Writing and verifying a release both
begin here, so that what is published and what is checked are the same thing. Nothing in it was
ever held by one site alone.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from protocol.errors import UsageError
from protocol.identifiers import SessionId, SiteId
from protocol.privacy.conversion import epsilon_of
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg.descriptor import Descriptor, check_descriptor
from protocol.secagg.ring import from_ring
from protocol.secagg.roster import Roster, RosterSite
from protocol.secagg.transcript import decode, verify_transcript
from protocol.study.document import parse_study
from protocol.study.study import Study
from protocol.terms import terms_of
from server.estimation.combination import check_follows
from server.estimation.evidence import NoisySum
from server.release.pooling import pooled
from server.rounds.papers import Papers, check_followed


@dataclass(frozen=True, slots=True)
class Basis:
    """A verified round, with the public documents that it was run under."""

    study: Study
    plan: StatisticsPlan
    roster: Roster
    descriptor: Descriptor
    cohort: tuple[SiteId, ...]  # whose vectors are in the sum
    noisy: NoisySum
    followed: "Basis | None" = None  # the round of the study that this one follows

    @property
    def session(self) -> SessionId:
        """The id of the round."""
        return self.descriptor.session

    @property
    def members(self) -> tuple[RosterSite, ...]:
        """The sites in the sum, by name and key."""
        return tuple(self.roster.sites[site] for site in self.cohort)

    @property
    def contributed(self) -> tuple[str, ...]:
        """Names of the sites in the sum."""
        return tuple(site.name for site in self.members)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the sites in the roster that are not in the sum."""
        names = (site.name for site in self.roster.sites)
        return tuple(name for name in names if name not in self.contributed)

    @property
    def earlier(self) -> tuple[NoisySum, ...]:
        """The sums that are combined with this one: only those over the very same sites.

        By name and key, so that nobody can slip in a round of made-up sites.
        """
        if self.followed is None or set(self.followed.members) != set(self.members):
            return ()  # SPEC 10.3
        return (self.followed.noisy,)

    @property
    def evidence(self) -> NoisySum:
        """All that was released, in the form of one sum; for what a reader is shown."""
        return pooled(self.noisy, *self.earlier) if self.earlier else self.noisy

    @property
    def rho(self) -> Fraction:
        """The zCDP of this round and the followed one together, combined or not."""
        return self.plan.rho + (self.followed.plan.rho if self.followed else 0)

    @property
    def epsilon(self) -> float:
        """The epsilon that `rho` is worth at the study's delta, for display."""
        return epsilon_of(self.rho, self.plan.delta)


def establish(papers: Papers, followed: Papers | None = None) -> Basis:
    """Return the basis, after replaying the round and compiling the plan again.

    Raises:
        UsageError: the study is not well formed, or `followed` is not the round that it follows.
        PeerError: a transcript does not replay under its roster.
        PolicyError: the round was run for another study, plan or roster.
    """
    study, roster = parse_study(papers.study_text), papers.roster
    before = establish_followed(study, followed)
    plan = compile_plan(study)
    header, _ = decode(papers.transcript)
    complete = verify_transcript(papers.transcript, roster)
    descriptor = header.signed.descriptor
    check_descriptor(descriptor, roster, terms_of(study, plan, roster))
    values = from_ring(np.asarray(complete.sum, dtype=np.uint64))
    cohort = tuple(sorted(complete.cohort))
    noisy = NoisySum(plan=plan, values=values, contributors=complete.noise_shares)
    return Basis(study, plan, roster, descriptor, cohort, noisy, before)


def establish_followed(study: Study, papers: Papers | None) -> Basis | None:
    """Return the basis of the round that a study follows; None if it follows none.

    Raises:
        UsageError: the papers are missing or not called for, or of a study that `study` does not
            follow, or of one that follows a third.
        PeerError, PolicyError: as `establish`.
    """
    check_followed(study, given=papers is not None)
    if papers is None:
        return None
    first = parse_study(papers.study_text)
    check_follows(study, first)
    check_is_first(first)
    return establish(papers)


def check_is_first(study: Study) -> None:
    """Check that a study to be followed does not itself follow another.

    Raises:
        UsageError: it does.
    """
    if study.plan.follows is not None:
        raise UsageError(
            "third-round",
            f"Expected a first study to follow, found {study.name!r}, which follows one itself.",
            "Follow the first of them: two rounds are combined, not more.",
        )
