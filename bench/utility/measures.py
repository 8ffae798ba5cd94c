"""How good one answer is."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from bench.utility.answer import half_l1
from bench.utility.world import Answer, World

_ROUNDING = 1e-9  # by which an interval may miss what it holds


@dataclass(frozen=True, slots=True)
class Score:
    """Errors against the population's truth; nan where there is none or the arm gave none.

    Effects are on outcomes in [0, 1]. `family_error` is the total variation distance (half the L1
    distance), averaged over families. `coverage` and `width` are of nominal 95 % intervals.
    """

    effect_error: float  # mean over contrasts of the absolute error
    largest_error: float
    family_error: float
    coverage: float
    width: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON object."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_json(document: dict[str, Any]) -> "Score":
        """Return what `to_json` wrote."""
        values = {name.name: document[name.name] for name in fields(Score)}
        return Score(**{name: np.nan if it is None else it for name, it in values.items()})


def score(world: World, answer: Answer) -> Score:
    """Return how far an answer is from the world's truth."""
    errors = np.abs(answer.effects - world.truth)
    held = (answer.low - _ROUNDING <= world.truth) & (world.truth <= answer.high + _ROUNDING)
    silent = bool(np.isnan(answer.low).any())
    pairs = zip(answer.marginals, world.marginals, strict=True) if world.marginals else ()
    distances = [half_l1(found, truth) for found, truth in pairs]
    return Score(
        effect_error=float(errors.mean()),
        largest_error=float(errors.max()),
        family_error=float(np.mean(distances)) if distances else np.nan,
        coverage=np.nan if silent else float(held.mean()),
        width=float((answer.high - answer.low).mean()),
        seconds=answer.seconds,
    )


def average(scores: Iterable[Score]) -> Score:
    """Return the mean of every measure; of `largest_error`, too, so that seeds weigh the same.

    Raises:
        ValueError: there are none.
    """
    rows = [list(asdict(one).values()) for one in scores]
    if not rows:
        raise ValueError("expected at least one score, found none")
    return Score(*np.mean(rows, axis=0).tolist())
