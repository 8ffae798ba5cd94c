"""What a release is made from: a study, a round's transcript and a roster that fit together.

Writing and verifying a release both begin here, so that what is published and what is checked
are the same thing. Nothing in it was ever held by one site alone.
"""

from dataclasses import dataclass

import numpy as np

from protocol.identifiers import SessionId, SiteId
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg.descriptor import Descriptor, RoundTerms, check_descriptor
from protocol.secagg.ring import from_ring
from protocol.secagg.roster import Roster
from protocol.secagg.transcript import decode, verify_transcript
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.estimation.evidence import NoisySum


@dataclass(frozen=True, slots=True)
class Basis:
    """A verified round, with the public documents that it was run under."""

    study: Study
    plan: StatisticsPlan
    roster: Roster
    descriptor: Descriptor
    cohort: tuple[SiteId, ...]  # whose vectors are in the sum
    noisy: NoisySum

    @property
    def session(self) -> SessionId:
        """The id of the round."""
        return self.descriptor.session

    @property
    def contributed(self) -> tuple[str, ...]:
        """Names of the sites in the sum."""
        return tuple(self.roster.sites[site].name for site in self.cohort)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the sites in the roster that are not in the sum."""
        names = (site.name for site in self.roster.sites)
        return tuple(name for name in names if name not in self.contributed)


def establish(study_text: str, transcript: bytes, roster: Roster) -> Basis:
    """Return the basis, after replaying the round and compiling the plan again.

    Raises:
        UsageError: the study is not well formed.
        PeerError: the transcript does not replay under `roster`.
        PolicyError: the round was run for another study, plan or roster.
    """
    study = parse_study(study_text)
    plan = compile_plan(study)
    header, _ = decode(transcript)
    complete = verify_transcript(transcript, roster)
    descriptor = header.signed.descriptor
    check_descriptor(descriptor, roster, terms_of(study, plan, roster))
    values = from_ring(np.asarray(complete.sum, dtype=np.uint64))
    cohort = tuple(sorted(complete.cohort))
    noisy = NoisySum(plan=plan, values=values, contributors=len(cohort))
    return Basis(study, plan, roster, descriptor, cohort, noisy)


def terms_of(study: Study, plan: StatisticsPlan, roster: Roster) -> RoundTerms:
    """Return what the sites of this study and roster expected of the round."""
    return RoundTerms(
        roster_hash=roster.hash,
        study_hash=study.hash,
        plan_hash=plan.hash,
        length=plan.length,
        threshold=study.cohort.threshold,
        n_min=study.cohort.n_min,
        colluders=study.cohort.tolerated_colluders,
    )
