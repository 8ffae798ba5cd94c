"""Capacities: the share of persons with the highest score, as a rule with a fixed threshold.

The threshold is a property of the fitted population, so that whether a person is taken depends on
that person alone, and no row on any other. It is found by simulation at the point estimate.
"""

from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.quantities import decimal_text
from protocol.study.study import Study
from server.causal.worlds.interventions import Capacity
from server.causal.worlds.policies import score_law
from server.causal.worlds.settings import Law

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)

_DIGITS = Context(prec=12, rounding=ROUND_CEILING)


class Scored(Protocol):
    """Persons of a world with their scores."""

    def __call__(self, law: Law) -> Reals:
        """Return what a law gives for many persons of the world, NaN where it is missing."""
        ...


def threshold_rule(study: Study, node: str, given: Capacity, scored: Scored) -> str:
    """Return the rule that takes at most the share, of those with the highest score.

    Raises:
        UsageError: a share outside (0, 1), a score that is no number, or one at which more than
            the share are equal, so that it takes nobody.
    """
    if not 0 < given.share < 1:
        raise UsageError(
            "share-out-of-range",
            f"Expected a share of persons between 0 and 1, found {given.share}.",
            "Write 0.2 for 20 %.",
        )
    law = score_law(study, node, given.by)
    scores = np.nan_to_num(scored(law), nan=-np.inf)
    threshold = least_taken(scores, given.share)
    if threshold is None:
        raise UsageError(
            "capacity-takes-nobody",
            f"Expected a score that tells the highest {given.share:.0%} apart, found more persons "
            "than that with the highest score of all.",
            "Add something to the score that tells them apart, or raise the share.",
        )
    limit = decimal_text(_DIGITS.create_decimal(Decimal(threshold)))
    return f"({law.document['value']}) >= {limit}"


def least_taken(scores: Reals, share: float) -> float | None:
    """Return the least score that at most `share` of all reach; None if none is."""
    levels, counts = np.unique(scores, return_counts=True)
    reaching = np.cumsum(counts[::-1])[::-1]
    enough = levels[(reaching <= share * len(scores)) & np.isfinite(levels)]
    return float(enough[0]) if len(enough) else None
