"""`concause sample`, `effect` and `parameters`: what a researcher does with a release."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from protocol.errors import UsageError
from protocol.study.sections import Measure
from protocol.study.variables import Count, Numeric, Survival
from server.commands.output import JsonFlag, show, written
from server.release.certainty import certainty_of

if TYPE_CHECKING:
    from server.causal.answers.effects import Effect
    from server.causal.model import Model

ReleasePath = Annotated[
    Path, typer.Argument(help="A release folder, or a model.json.", show_default=False)
]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the interval.")]
_LINKS = {
    "gaussian": "mean of",
    "logistic": "log odds of",
    "poisson": "logarithm of the mean of",
    "negative-binomial": "logarithm of the mean of",
}
Interventions = Annotated[
    list[str] | None, typer.Option("--do", help="Set a variable: NAME=LEVEL. May be repeated.")
]


def sample(  # noqa: PLR0913 - one option per part of the request
    release: ReleasePath,
    out: Annotated[Path, typer.Option(help="Where to write: .parquet or .csv.")],
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 1,
    copies: Annotated[
        int,
        typer.Option(min=1, help="How many data sets, as NAME-001 and on: for honest intervals."),
    ] = 1,
    do: Interventions = None,
    *,
    long: Annotated[
        bool, typer.Option("--long", help="One row per unit and visit, of a study with visits.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sample synthetic rows from a fitted model, observed or under an intervention.

    With several copies, each is drawn from another set of parameters that the release allows:
    analyse each, and combine the results with concause.combine.
    """
    from server.release.folder import numbered  # noqa: PLC0415 - with what is slow to load

    _check_format(out)
    paths = [out.with_name(name) for name in numbered(out.name, copies)]
    _write_samples(_intervened(_load(release), do or []), paths, (rows, seed), long=long)
    document = {"paths": [str(path) for path in paths], "rows": rows, "seed": seed, "do": do or []}
    places = str(out) if copies == 1 else f"each of {paths[0]} to {paths[-1].name}"
    unit = "units" if long else "rows"
    line = f"{rows:,} {unit} written to {places}"
    show({"path": str(paths[0]), **document}, line, as_json=as_json)


def effect(  # noqa: PLR0913 - one option per part of the question
    release: ReleasePath,
    treatment: Annotated[str, typer.Option(help="The variable that is set.")],
    outcome: Annotated[str, typer.Option(help="The variable that is compared.")],
    treated: Annotated[
        str, typer.Option(help="Its level, or its number, in the first world.")
    ] = "1",
    reference: Annotated[
        str, typer.Option(help="Its level, or its number, in the second world.")
    ] = "0",
    level: Level = 0.95,
    *,
    measure: Annotated[
        Measure,
        typer.Option(
            help="What of the outcome: all but mean are of a time to an event, whose mean is its "
            "risk.",
        ),
    ] = "mean",
    as_json: JsonFlag = False,
) -> None:
    """Compute the average effect of setting one variable on another, with its interval."""
    from server.release.answers import unit_of  # noqa: PLC0415 - as the model

    model = _load(release)
    found = model.effect(
        treatment=treatment,
        outcome=outcome,
        treated=treated,
        reference=reference,
        level=level,
        measure=measure,
    )
    unit, certain = unit_of(model.study, outcome, found.measure), certainty_of(model.study, found)
    document = found.to_json() | {"unit": unit, "certain": certain}
    show(document, _effect_table(found, unit), *([certain] if certain else []), as_json=as_json)


def parameters(
    release: ReleasePath,
    node: Annotated[str, typer.Argument(help="The variable, or its node at a visit.")],
    level: Level = 0.95,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show the fitted parameters of one mechanism, with their intervals."""
    model = _load(release)
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


def _effect_table(found: "Effect", unit: str) -> Table:
    from server.release.answers import quantity_of  # noqa: PLC0415 - as the model

    quantity = quantity_of(found.measure, found.outcome, unit)
    table = Table("do", quantity, f"{found.level:.0%} interval", "computed by")
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


def _check_format(out: Path) -> None:
    if out.suffix not in {".parquet", ".csv"}:
        raise UsageError(
            "unknown-format",
            f"Expected a name that ends in .parquet or .csv, found {out.name!r}.",
            "Change the ending of --out.",
        )


def _write_samples(
    model: "Model", paths: Sequence[Path], request: tuple[int, int], *, long: bool
) -> None:
    rows, seed = request
    frames = model.sample_copies(len(paths), rows, seed, long=long)
    for path, frame in zip(paths, frames, strict=True):
        with written(path):
            if path.suffix == ".parquet":
                frame.to_parquet(path, index=False)
            else:
                frame.to_csv(path, index=False)


def _load(path: Path) -> "Model":
    from server.causal.model import load  # noqa: PLC0415 - pandas is slow to load

    return load(path)


def _intervened(model: "Model", assignments: list[str]) -> "Model":
    pairs = [assignment.partition("=") for assignment in assignments]
    for assignment, (_, equals, _) in zip(assignments, pairs, strict=True):
        if not equals:
            raise UsageError(
                "not-an-assignment",
                f"Expected NAME=LEVEL, found {assignment!r}.",
                "For example --do qsmk=1.",
            )
    return model.do({name: level for name, _, level in pairs}) if pairs else model
