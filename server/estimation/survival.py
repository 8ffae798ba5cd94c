"""Survival mechanisms from exits: who left in which interval, by the event or by censoring.

With e_k and c_k the shares of a row that leave in interval k by the event and by censoring, and
S_k = sum_{j >= k} (e_j + c_j) those observed at its start, the hazards h of the event and g of
censoring are those of two independent times, each even inside the interval:

    e = S h (1 - g / 2)    c = S g (1 - h / 2)
    h = 1 + d / 2 - sqrt((1 - d / 2)^2 - 2 c / S)    with d = (e - c) / S, and g = h - d

That is what the model draws, so that exits come out as they went in. The actuarial estimate
e / (S - c / 2) (Cutler and Ederer 1958) is its first order in c. In the last interval everybody
left is censored: they are taken as observed to its end, h = e / S.

Censoring given the parents is taken to tell nothing of the event (independent censoring).
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shares: TypeAlias = NDArray[Any]  # float64

_NOBODY = 1e-12


def event_shares(exits: Shares) -> Shares:
    """Return the shares by interval of the event, then without one: (.., 2 K) to (.., K + 1)."""
    return _spread(_hazards(exits)[0])


def censoring_shares(exits: Shares) -> Shares:
    """Return the shares by interval in which observation would end: (.., 2 K) to (.., K).

    The last interval holds all who would be observed to its start.
    """
    return _spread(_hazards(exits)[1][..., :-1])


def _hazards(exits: Shares) -> tuple[Shares, Shares]:
    """Return h and g by interval, shape (.., K) each; 0 where nobody is left."""
    intervals = exits.shape[-1] // 2
    events, censored = exits[..., :intervals], exits[..., intervals:]
    observed = np.cumsum((events + censored)[..., ::-1], axis=-1)[..., ::-1]
    some = observed > _NOBODY
    by_event, by_censoring = (
        np.where(some, leaving / np.where(some, observed, 1.0), 0.0)
        for leaving in (events, censored)
    )
    apart = by_event - by_censoring
    both = np.sqrt(np.maximum((1 - apart / 2) ** 2 - 2 * by_censoring, 0.0))
    event = np.clip(1 + apart / 2 - both, 0.0, 1.0)
    censoring = np.clip(1 - apart / 2 - both, 0.0, 1.0)
    event[..., -1] = by_event[..., -1]
    return event, censoring


def _spread(hazard: Shares) -> Shares:
    """Return the shares of every interval and of what is left after the last."""
    survival = np.cumprod(1 - hazard, axis=-1)
    before = np.concatenate([np.ones_like(hazard[..., :1]), survival], axis=-1)
    return np.concatenate([before[..., :-1] * hazard, before[..., -1:]], axis=-1)
