"""One question, several graphs: the answers of models that were fitted under other assumptions."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from protocol.errors import UsageError
from protocol.study.problems import listed
from server.causal.answers.effects import Effect
from server.causal.answers.measures import Measure
from server.causal.model import Model
from server.causal.worlds.interventions import Intervention

_COLUMNS = ("estimate", "low", "high", "standard_error")


@dataclass(frozen=True)
class Alternatives:
    """The effect by each model."""

    effects: Mapping[str, Effect]

    @property
    def frame(self) -> pd.DataFrame:
        """Return one line a model: estimate, low, high, standard error, what it rests on."""
        lines = {
            name: [*(getattr(one, column) for column in _COLUMNS), " ".join(one.rests_on)]
            for name, one in self.effects.items()
        }
        frame = pd.DataFrame.from_dict(lines, orient="index", columns=[*_COLUMNS, "rests_on"])
        return frame.rename_axis("model")

    @property
    def agree(self) -> bool:
        """Return whether all intervals lie on one side of no effect, or all hold it."""
        null = 1.0 if _is_ratio(next(iter(self.effects.values()))) else 0.0
        sides = {
            0 if one.low <= null <= one.high else 1 if one.low > null else -1
            for one in self.effects.values()
        }
        return len(sides) == 1

    @property
    def text(self) -> str:
        """Return the range of the answers, in words."""
        found = [one.estimate for one in self.effects.values()]
        first = next(iter(self.effects.values()))
        word = "agree" if self.agree else "do not agree"
        return (
            f"{first.treatment} on {first.outcome}: {min(found):.3g} to {max(found):.3g} by "
            f"{len(found)} models, which {word} on whether there is an effect, and which way."
        )


def _is_ratio(effect: Effect) -> bool:
    return effect.measure.endswith("ratio")


def alternative_graphs(  # noqa: PLR0913 - one argument per part of the question
    models: Mapping[str, Model],
    treatment: str,
    outcome: str,
    treated: Intervention = 1,
    reference: Intervention = 0,
    *,
    level: float = 0.95,
    measure: Measure = "mean",
    event: object = None,
) -> Alternatives:
    """Return an effect by several models side by side.

    Raises:
        UsageError: fewer than two models, or what one of them refuses, with its name.
    """
    if len(models) < 2:
        raise UsageError(
            "too-few-models",
            f"Expected at least two models, found {listed(models) or 'none'}.",
            "Give them by name, such as {'as drawn': one, 'with an arrow more': other}.",
        )
    found = {}
    for name, model in models.items():
        try:
            found[name] = model.effect(
                treatment, outcome, treated, reference, level, measure, event=event
            )
        except UsageError as error:
            raise UsageError(
                error.code, f"Of the model {name!r}: {error.cause}", error.remedy
            ) from error
    return Alternatives(found)
