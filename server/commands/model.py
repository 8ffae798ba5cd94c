"""`concause effect` and `parameters`: what a researcher asks of a release."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from protocol.study.variables import Count, Numeric, Survival
from server.commands.output import JsonFlag, show
from server.commands.released import (
    Event,
    Given,
    Level,
    MeasureOption,
    Outcome,
    Quantile,
    Reference,
    ReleasePath,
    Treated,
    Treatment,
    event_of,
    given_of,
    loaded,
)
from server.release.certainty import certainty_of

if TYPE_CHECKING:
    from server.causal.answers.effects import Effect
    from server.causal.model import Model

_LINKS = {
    "gaussian": "mean of",
    "logistic": "log odds of",
    "poisson": "logarithm of the mean of",
    "negative-binomial": "logarithm of the mean of",
}


def effect(  # noqa: PLR0913 - one option per part of the question
    release: ReleasePath,
    treatment: Treatment,
    outcome: Outcome,
    treated: Treated = "1",
    reference: Reference = "0",
    level: Level = 0.95,
    *,
    measure: MeasureOption = "mean",
    event: Event = None,
    given: Given = None,
    quantile: Quantile = 0.5,
    as_json: JsonFlag = False,
) -> None:
    """Compute the average effect of setting one variable on another, with its interval."""
    from server.release.answers import unit_of  # noqa: PLC0415 - as the model

    model = loaded(release)
    found = model.effect(
        treatment=treatment,
        outcome=outcome,
        treated=treated,
        reference=reference,
        level=level,
        measure=measure,
        event=event_of(event),
        given=given_of(given),
        quantile=quantile,
    )
    unit, certain = unit_of(model.study, outcome, found.measure), certainty_of(model.study, found)
    document = found.to_json() | {"unit": unit, "certain": certain}
    below = [*([certain] if certain else []), *(f"rests on: {it}" for it in found.rests_on)]
    show(document, effect_table(found, unit), *below, as_json=as_json)


def parameters(
    release: ReleasePath,
    node: Annotated[str, typer.Argument(help="The variable, or its node at a visit.")],
    level: Level = 0.95,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show the fitted parameters of one mechanism, with their intervals."""
    model = loaded(release)
    frame = model.parameters(node, level)
    names = list(map(str, frame.index.names))
    lines = [
        {"of": dict(zip(names, place, strict=True)), **{str(key): line[key] for key in line}}
        for place, line in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    scale = _scale(model, node, regressed=names[-1] == "term")
    document = {"node": node, "level": level, "scale": scale, "parameters": lines}
    show(document, scale, _parameter_table(lines, level), as_json=as_json)


def _scale(model: "Model", node: str, *, regressed: bool) -> str:
    """Return what the parameters of a node are of, with their unit."""
    variable = model.study.variable(node)
    unit = f" ({variable.unit})" if isinstance(variable, Numeric | Count) and variable.unit else ""
    if regressed:
        link = _LINKS[model.study.mechanism_of(node)]
        return f"{link} {node}{unit}: a constant, and slopes per unit of each cause"
    if isinstance(variable, Survival):
        time = f" ({variable.unit})" if variable.unit else ""
        return f"probability that {node} comes in an interval{time}"
    return f"probability of {node}{unit}"


def effect_table(found: "Effect", unit: str) -> Table:
    """Return an effect as one line."""
    from server.release.answers import quantity_of  # noqa: PLC0415 - as the model

    asked = f"{found.outcome} = {found.event}" if found.event else found.outcome
    quantity = quantity_of(found.measure, asked, unit)
    among = f", given {found.given}" if found.given else ""
    table = Table("do", quantity + among, f"{found.level:.0%} interval", "computed by")
    error = f" (error {found.monte_carlo_error:.2g})" if found.method == "simulation" else ""
    table.add_row(
        f"{found.treatment}: {found.reference} -> {found.treated}",
        f"{found.estimate:.3f}",
        f"{found.low:.3f} to {found.high:.3f}",
        found.method + error,
    )
    return table


def _parameter_table(lines: Sequence[Mapping[str, Any]], level: float) -> Table:
    table = Table(*lines[0]["of"], "estimate", f"{level:.0%} interval")
    for line in lines:
        interval = f"{line['low']:.4g} to {line['high']:.4g}"
        table.add_row(*line["of"].values(), f"{line['estimate']:.4g}", interval)
    return table
