"""What to expect of a study's answers, as commands show it: tables for people, and JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.study import Study
from server.estimation.combination import check_same_counts
from server.estimation.contrasts import Coordinates, noise_of, plan_layout
from server.estimation.foresight import Expectation, foresee
from server.estimation.prior import Prior, neutral_prior, prior_of
from server.estimation.sensitivity import Unforeseen

if TYPE_CHECKING:
    from server.causal.model import Model

Outlook = Sequence[Expectation | Unforeseen]
DEFAULT_PERSONS = 10_000
Persons = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many persons all sites have together; by default as many as the --prior has, or "
        f"{DEFAULT_PERSONS:,}.",
    ),
]
PriorPath = Annotated[
    Path | None,
    typer.Option(
        help="A release folder or model.json to plan with; by default random tables over the "
        "graph.",
        show_default=False,
    ),
]


def read_model(path: Path | None) -> "Model | None":
    """Return the model of a release, if there is one to read."""
    if path is None:
        return None
    from server.causal.model import load  # noqa: PLC0415 - pandas is slow to load

    return load(path)


def prior_for(study: Study, model: "Model | None", persons: int | None) -> Prior:
    """Return what to plan with: a released model of the same graph, or a neutral prior.

    Raises:
        UsageError: the model is of other variables or of another graph.
    """
    if model is None:
        return neutral_prior(study, persons or DEFAULT_PERSONS)
    check_same_counts(study, model.study)
    found = prior_of(model)
    return Prior(found.tables, float(persons)) if persons else found


def noise_before(model: "Model") -> Coordinates:
    """Return the noise variances of the coordinates that the round of a model gave."""
    plan = compile_plan(model.study)
    return noise_of(plan, plan_layout(plan), model.provenance.contributors)


def outlook_of(
    study: Study, plan: StatisticsPlan, prior: Prior, earlier: Coordinates | None = None
) -> Outlook:
    """Return what to expect of every question; also with half as many sites more, and twice."""
    n_min = study.cohort.n_min
    sites = (n_min + (n_min + 1) // 2, 2 * n_min)
    return tuple(
        _seen(study, one) if isinstance(one, Expectation) else one
        for one in foresee(study, plan, prior, sites, earlier)
    )


def _seen(study: Study, one: Expectation) -> Expectation | Unforeseen:
    """Return an expectation with its unit, or why there is nothing to expect."""
    from server.release.answers import unit_of  # noqa: PLC0415 - pandas is slow to load

    question = one.question
    if one.standard_error == 0:
        return Unforeseen(
            question,
            f"{question.treated} and {question.reference} are in one bin of "
            f"{question.treatment!r}, so that the effect is zero",
        )
    return replace(one, unit=unit_of(study, question.outcome, question.measure))


def outlook_document(outlook: Outlook) -> list[dict[str, Any]]:
    """Return one JSON object a question."""
    return [_document(one) for one in outlook]


def outlook_tables(outlook: Outlook, prior: Prior) -> list[Table]:
    """Return the questions with their expected standard errors, and how these would change.

    No table where nothing can be said of any question.
    """
    if not any(isinstance(one, Expectation) for one in outlook):
        return []
    table = Table("question", title=f"Expected standard errors with {prior.persons:,.0f} persons")
    for heading in ("error", "noise", "sampling"):
        table.add_column(heading, justify="right")
    scenarios = next((one.scenarios for one in outlook if isinstance(one, Expectation)), ())
    for at, scenario in enumerate(scenarios):
        heading = f"ε {scenario.epsilon:.3g}" if at < 2 else f"{scenario.sites} sites"
        table.add_column(heading, justify="right")
    for one in outlook:
        if isinstance(one, Unforeseen):
            table.add_row(one.question.name, "-", *[""] * (2 + len(scenarios)))
        else:
            unit = f" {one.unit}" if one.unit else ""
            numbers = (one.privacy, one.sampling, *(each.standard_error for each in one.scenarios))
            table.add_row(
                one.question.name,
                f"{one.standard_error:.3g}{unit}",
                *(f"{number:.3g}" for number in numbers),
            )
    return [table]


def comparison_table(before: Outlook, after: Outlook, prior: Prior) -> Table:
    """Return every question's expected standard error, with and without a directed budget."""
    table = Table("question", title=f"Expected standard errors with {prior.persons:,.0f} persons")
    for heading in ("undirected", "directed", "sampling alone"):
        table.add_column(heading, justify="right")
    for old, new in zip(before, after, strict=True):
        if isinstance(old, Expectation) and isinstance(new, Expectation):
            errors = (old.standard_error, new.standard_error, new.sampling)
            unit = f" {new.unit}" if new.unit else ""
            table.add_row(new.question.name, *(f"{error:.3g}{unit}" for error in errors))
        else:
            table.add_row(new.question.name, "-", "-", "-")
    return table


def reasons(outlook: Outlook) -> tuple[str, ...]:
    """Return a line for every question of which nothing can be said beforehand."""
    return tuple(
        f"no forecast of {one.question.name}: {one.reason}"
        for one in outlook
        if isinstance(one, Unforeseen)
    )


def _document(one: Expectation | Unforeseen) -> dict[str, Any]:
    if isinstance(one, Unforeseen):
        return {"name": one.question.name, "unforeseen": one.reason}
    return {
        "name": one.question.name,
        "unit": one.unit,
        "standard_error": one.standard_error,
        "privacy": one.privacy,
        "sampling": one.sampling,
        "scenarios": [
            {
                "epsilon": scenario.epsilon,
                "sites": scenario.sites,
                "standard_error": scenario.standard_error,
            }
            for scenario in one.scenarios
        ],
    }
