"""What a study, its plan and a roster ask of a round: one answer for every party."""

from collections.abc import Mapping

from protocol.errors import PolicyError
from protocol.privacy.plan import StatisticsPlan
from protocol.secagg.descriptor import Aggregation, RoundTerms
from protocol.secagg.roster import Roster
from protocol.study.study import Study

SELECTORS = 3
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


def check_selectors(roster: Roster) -> None:
    """Check that a roster has the three aggregators that a selection takes, one to deal triples.

    Raises:
        PolicyError: it has not.
    """
    if len(roster.aggregators) != SELECTORS:
        raise PolicyError(
            "selection-needs-three",
            f"Expected {SELECTORS} aggregators for a selection, found {len(roster.aggregators)}.",
            "Enrol a third, who deals what the comparison takes.",
        )
