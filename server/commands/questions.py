"""`concause compare`, `mediate`, `counterfactual`, `sensitivity`: more that a release is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from protocol.errors import UsageError
from server.commands.interventions import (
    Agents,
    Capacities,
    Do,
    Lotteries,
    Policies,
    Shifts,
    interventions_of,
)
from server.commands.model import effect_table
from server.commands.output import JsonFlag, show, write_text
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

Kind = Annotated[
    Literal["natural", "interventional"],
    typer.Option(help="Of one person in two worlds, or of mediators drawn anew."),
]
Mediators = Annotated[
    list[str], typer.Option("--mediator", help="What may carry the effect. May be repeated.")
]


def compare(  # noqa: PLR0913 - one option per kind of intervention
    release: ReleasePath,
    outcome: Outcome,
    *,
    do: Do = None,
    policy: Policies = None,
    shift: Shifts = None,
    randomise: Lotteries = None,
    agent: Agents = None,
    capacity: Capacities = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="What is set in the other world: NAME=LEVEL. By default nothing."),
    ] = None,
    measure: MeasureOption = "mean",
    event: Event = None,
    given: Given = None,
    quantile: Quantile = 0.5,
    level: Level = 0.95,
    as_json: JsonFlag = False,
) -> None:
    """Compare an outcome under interventions of any kind with what happens without them."""
    from server.release.answers import unit_of  # noqa: PLC0415 - slow to load

    first = interventions_of(do, policy, shift, randomise, agent, capacity)
    second = interventions_of(against)
    model = loaded(release)
    found = model.compare(
        outcome,
        first,
        second,
        level,
        measure,
        event=event_of(event),
        given=given_of(given),
        quantile=quantile,
    )
    unit = unit_of(model.study, outcome, found.measure)
    rests = [f"rests on: {sentence}" for sentence in found.rests_on]
    show(found.to_json() | {"unit": unit}, effect_table(found, unit), *rests, as_json=as_json)


def mediate(  # noqa: PLR0913 - one option per part of the question
    release: ReleasePath,
    treatment: Treatment,
    outcome: Outcome,
    mediator: Mediators,
    treated: Treated = "1",
    reference: Reference = "0",
    *,
    kind: Kind = "natural",
    measure: MeasureOption = "mean",
    event: Event = None,
    given: Given = None,
    level: Level = 0.95,
    as_json: JsonFlag = False,
) -> None:
    """Split an effect into what goes through mediators, and what goes past them."""
    from server.causal.mediation.effects import mediate as ask  # noqa: PLC0415 - slow to load

    found = ask(
        loaded(release),
        treatment,
        outcome,
        mediator,
        treated=treated,
        reference=reference,
        level=level,
        measure=measure,
        kind=kind,
        event=event_of(event),
        given=given_of(given),
    )
    table = Table("effect", "estimate", f"{level:.0%} interval", title=f"{kind} effects")
    for name, one in found.effects.items():
        table.add_row(name, f"{one.estimate:.4g}", f"{one.low:.4g} to {one.high:.4g}")
    effects = {name: _numbers(one) for name, one in found.effects.items()}
    proportion = None if found.proportion is None else _numbers(found.proportion)
    document = {
        "treatment": found.treatment,
        "outcome": found.outcome,
        "mediators": list(found.mediators),
        "kind": kind,
        "measure": found.measure,
        "effects": effects,
        "proportion": proportion,
        "rung": found.rung,
        "rests_on": list(found.rests_on),
    }
    rests = [f"rests on: {sentence}" for sentence in found.rests_on]
    show(document, table, *rests, as_json=as_json)


def _numbers(one: Any) -> dict[str, object]:  # noqa: ANN401 - an estimate
    return {
        name: getattr(one, name)
        for name in ("estimate", "low", "high", "standard_error", "monte_carlo_error", "method")
    }


def counterfactual(  # noqa: PLR0913 - one option per part of the question
    release: ReleasePath,
    *,
    do: Do = None,
    policy: Policies = None,
    shift: Shifts = None,
    outcome: Annotated[
        str | None, typer.Option(help="Ask for a share of persons: of whom this would be --event.")
    ] = None,
    event: Event = None,
    given: Given = None,
    rows: Annotated[
        int, typer.Option(min=1, help="How many persons of the synthetic population.")
    ] = 10_000,
    persons: Annotated[
        Path | None, typer.Option(help="Persons of your own instead: a CSV or Parquet file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same rows.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where to write persons as they would be (.parquet).")
    ] = None,
    level: Level = 0.95,
    as_json: JsonFlag = False,
) -> None:
    """Say what the same persons would have been: as rows, or as a share with its bounds.

    With --outcome and --event, of persons with --given: how many would have had it, and between
    which bounds whatever the coupling. With --out, the persons row by row.
    """
    ways = interventions_of(do, policy, shift)
    if (outcome is None) == (out is None):
        raise UsageError(
            "share-or-rows",
            "Expected either --outcome with --event, or --out, found "
            + ("neither." if out is None else "both."),
            "Write --outcome for a share of persons, or --out FILE.parquet for rows.",
        )
    if outcome is not None:
        _share(release, outcome, event, ways, given, level, as_json=as_json)
        return
    from server.causal.counterfactuals.counterfactual import (  # noqa: PLC0415 - slow to load
        counterfactual as ask,
    )
    from server.causal.worlds.reading import read_file  # noqa: PLC0415 - slow to load

    assert out is not None  # noqa: S101 - checked above
    who = rows if persons is None else read_file(persons)
    found = ask(loaded(release), who, ways, seed=seed)
    found.write(out)
    document = found.document() | {"path": str(out), "rows": len(found.frame)}
    rests = [f"rests on: {sentence}" for sentence in found.rests_on]
    line = f"{len(found.frame):,} persons written to {out}, as they are and as they would be"
    couplings = [f"{node}: {how}" for node, how in found.coupling.items()]
    show(document, line, f"coupling: {', '.join(couplings)}", *rests, as_json=as_json)


def _share(  # noqa: PLR0913 - the options
    release: Path,
    outcome: str,
    event: list[str] | None,
    ways: Mapping[str, Any],
    given: list[str] | None,
    level: float,
    *,
    as_json: bool,
) -> None:
    from server.causal.counterfactuals.cross_world import cross_world  # noqa: PLC0415 - slow

    if not event:
        raise UsageError(
            "no-event",
            "Expected the level of the outcome that is asked for, found none.",
            "Write --event 1, or --event LEVEL, once for each of several levels.",
        )
    found = cross_world(loaded(release), outcome, event, ways, given_of(given), level)
    rests = [f"rests on: {sentence}" for sentence in found.rests_on]
    show(found.to_json(), found.text, *rests, as_json=as_json)


def sensitivity(  # noqa: PLR0913 - one option per part of the question
    release: ReleasePath,
    treatment: Treatment,
    outcome: Outcome,
    treated: Treated = "1",
    reference: Reference = "0",
    *,
    event: Event = None,
    prevalence: Annotated[
        float, typer.Option(help="Share of persons who have the unmeasured cause.")
    ] = 0.5,
    null: Annotated[float, typer.Option(help="The effect that would change your mind.")] = 0.0,
    missing: Annotated[
        bool, typer.Option("--missing", help="Of missing values of the outcome instead.")
    ] = False,
    svg: Annotated[Path | None, typer.Option(help="Where to draw the curve.")] = None,
    level: Level = 0.95,
    as_json: JsonFlag = False,
) -> None:
    """Say how strong an unmeasured confounder must be to change an answer; with E-values."""
    from server.causal.sensitivity.confounding import unmeasured_confounder  # noqa: PLC0415
    from server.causal.sensitivity.e_values import e_values  # noqa: PLC0415 - slow to load
    from server.causal.sensitivity.missing import missing_not_at_random  # noqa: PLC0415

    model, asked = loaded(release), event_of(event)
    names = (treatment, outcome, treated, reference)
    if missing:
        gone = missing_not_at_random(
            model, outcome, treatment, treated, reference, event=asked, null=null, level=level
        )
        show(gone.to_json(), gone.text, as_json=as_json)
        return
    values = e_values(model, *names, event=asked, level=level)
    found = unmeasured_confounder(
        model, *names, event=asked, prevalence=prevalence, null=null, level=level
    )
    if svg is not None:
        write_text(svg, found.svg())
    table = Table("odds of each", "effect", f"{level:.0%} interval")
    for strength, line in zip(found.frame.index, found.frame.to_dict("records"), strict=True):
        interval = f"{line['low']:.4g} to {line['high']:.4g}"
        table.add_row(f"{strength:g}", f"{line['estimate']:.4g}", interval)
    document = found.to_json() | {"e_values": values.to_json()}
    show(document, table, found.text, values.text, as_json=as_json)
