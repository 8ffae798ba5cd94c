"""What a study, its plan and a roster ask of a round: one answer for every party."""

from collections.abc import Mapping

from protocol.privacy.plan import StatisticsPlan
from protocol.secagg.descriptor import Aggregation, RoundTerms
from protocol.secagg.roster import Roster
from protocol.study.study import Study

AGGREGATIONS: Mapping[str, Aggregation] = {
    "masking": Aggregation.MASKING,
    "aggregators": Aggregation.AGGREGATORS,
}


def terms_of(study: Study, plan: StatisticsPlan, roster: Roster) -> RoundTerms:
    """Return what the sites of this study and roster expect of a round."""
    return RoundTerms(
        roster_hash=roster.hash,
        study_hash=study.hash,
        plan_hash=plan.hash,
        layout=plan.layout,
        threshold=study.cohort.threshold,
        n_min=study.cohort.n_min,
        colluders=study.cohort.tolerated_colluders,
        aggregation=AGGREGATIONS[study.trust.aggregation],
    )
