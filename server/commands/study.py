"""`concause study`: look at a study before anything is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from protocol.errors import UsageError
from protocol.privacy.expectation import MechanismExpectation, expected_errors
from protocol.privacy.plan import Block, StatisticsPlan, compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.commands.directed_study import with_plan, with_rho, without_plan
from server.commands.outlook import (
    Outlook,
    Persons,
    PriorPath,
    comparison_table,
    noise_before,
    outlook_document,
    outlook_of,
    outlook_table,
    prior_for,
    read_model,
    reasons,
)
from server.commands.output import JsonFlag, read_study, read_text, show, shown, write_text
from server.commands.study_refinement import refine
from server.commands.two_rounds import Together, followed_model, rho_left, together
from server.estimation.design import directed_weights
from server.release.basis import check_is_first

app = typer.Typer(no_args_is_help=True, help="Check a study and see what it would cost.")
app.command()(refine)
StudyFile = Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)]


@app.command()
def check(study_file: StudyFile, *, as_json: JsonFlag = False) -> None:
    """Check a study: every problem is named with its line and what to write instead."""
    study = read_study(study_file)
    line = f"study hash: {study.hash.hex()}"
    show(_study_document(study), _study_table(study), line, as_json=as_json)


@app.command()
def plan(
    study_file: StudyFile,
    persons: Persons = None,
    prior: PriorPath = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show blocks, noise, budget and the expected error of every answer, before any is spent.

    Of a study that follows another, with --prior RELEASE of that one: errors of both rounds.
    """
    study, model = read_study(study_file), read_model(prior)
    statistics = compile_plan(study)
    mechanisms = expected_errors(study, statistics)
    believed, first = prior_for(study, model, persons), followed_model(study, model)
    outlook = outlook_of(study, statistics, believed, noise_before(first) if first else None)
    both = together(first.study, statistics) if first else None
    document = _plan_document(study, statistics, mechanisms)
    show(
        document
        | {"persons": believed.persons, "questions": outlook_document(outlook)}
        | {"both_rounds": both and both.to_json()},
        _budget_table(study, statistics),
        _block_table(statistics),
        _mechanism_table(mechanisms),
        outlook_table(outlook, believed),
        *reasons(outlook),
        *_of_both_rounds(study, both),
        f"study hash: {study.hash.hex()}\nplan hash: {statistics.hash.hex()}",
        as_json=as_json,
    )


@app.command()
def direct(  # noqa: PLR0913 - one option per part of the request
    study_file: StudyFile,
    prior: PriorPath = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the study; without it, nothing is written.")
    ] = None,
    persons: Persons = None,
    total_epsilon: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What the round of --prior and this one may cost together; by default this one "
            "has the budget that the study says.",
        ),
    ] = None,
    *,
    follow: Annotated[
        bool,
        typer.Option(help="Combine with the round of --prior: same records, same sites."),
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Direct the budget of a study at its questions: write its [plan].

    The weight of every residual table comes from how much its noise hurts the answers, at the
    release of an earlier round or, without --prior, at random tables over the graph.
    """
    whole = read_text(study_file, "a study (TOML)")
    parse_study(whole)  # before it is edited
    model = read_model(prior)
    first = model.study if model is not None and follow else None
    text = _within_total(without_plan(whole), first, total_epsilon)
    study = parse_study(text)
    believed = prior_for(study, model, persons)
    statistics = compile_plan(study)
    earlier = noise_before(model) if model is not None and follow else None
    weights = directed_weights(study, statistics, believed, earlier)
    directed_text = with_plan(text, weights, first.hash.hex() if first else None)
    directed = parse_study(directed_text)
    plan_of = compile_plan(directed)
    before = outlook_of(study, statistics, believed, earlier)
    after = outlook_of(directed, plan_of, believed, earlier)
    both = together(first, plan_of) if first else None
    if out is not None:
        write_text(out, directed_text)
    show(
        _directed_document(directed, before, after) | {"both_rounds": both and both.to_json()},
        comparison_table(before, after, believed),
        *reasons(after),
        *([both.line] if both else []),
        f"study hash: {directed.hash.hex()}",
        f"study written to {shown(out)}" if out else "nothing written; add --out FILE",
        as_json=as_json,
    )


def _within_total(text: str, first: Study | None, total_epsilon: float | None) -> str:
    """Return the text with the budget that a first round leaves of a total, if one is given."""
    if first is not None:
        check_is_first(first)
    if total_epsilon is None:
        return text
    if first is None:
        raise UsageError(
            "no-first-round",
            "Expected the release of a first round with --total-epsilon, found none to follow.",
            "Give it with --prior, or write the budget into the study.",
        )
    return with_rho(text, rho_left(total_epsilon, parse_study(text).budget.delta_or_default, first))


def _of_both_rounds(study: Study, both: Together | None) -> list[str]:
    if both is not None:
        return [both.line]
    if study.plan.follows is not None:
        return ["errors of this round alone; for both rounds add --prior RELEASE of the first"]
    return []


def _study_document(study: Study) -> dict[str, Any]:
    graph = study.causal_graph
    return {
        "name": study.name,
        "title": study.title,
        "study_hash": study.hash.hex(),
        "expires": study.expires.isoformat(),
        "variables": {name: list(variable.labels) for name, variable in study.variables.items()},
        "edges": [[parent, node] for node in graph.nodes for parent in graph.parents[node]],
        "questions": [question.name for question in study.questions],
    }


def _study_table(study: Study) -> Table:
    table = Table("variable", "kind", "levels", "parents", "mechanism", title=f"{study.title}")
    for family in study.families:
        variable = study.variable(family.node)
        table.add_row(
            family.node,
            variable.kind,
            str(variable.size),
            ", ".join(family.parents),
            family.mechanism.kind,
        )
    questions = ", ".join(question.name for question in study.questions)
    table.caption = f"questions: {questions}"
    return table


def _directed_document(study: Study, before: Outlook, after: Outlook) -> dict[str, Any]:
    return {
        "study_hash": study.hash.hex(),
        "follows": study.plan.follows,
        "weights": [
            {"clique": list(entry.clique), "weight": str(entry.weight)}
            for entry in study.plan.weights
        ],
        "before": outlook_document(before),
        "questions": outlook_document(after),
    }


def _plan_document(
    study: Study, statistics: StatisticsPlan, expectations: tuple[MechanismExpectation, ...]
) -> dict[str, Any]:
    return {
        "study_hash": study.hash.hex(),
        "plan_hash": statistics.hash.hex(),
        "rho": str(statistics.rho),
        "epsilon": statistics.epsilon,
        "delta": str(statistics.delta),
        "noise_shares": statistics.noise_shares,
        "cells": statistics.length,
        "blocks": [_block_document(block) for block in statistics.blocks],
        "mechanisms": [
            {
                "node": expectation.node,
                "family": list(expectation.family),
                "cells": expectation.cells,
                "cell_deviation": expectation.cell_deviation,
            }
            for expectation in expectations
        ],
    }


def _block_document(block: Block) -> dict[str, Any]:
    return {
        "kind": block.kind,
        "population": block.population,
        "clique": list(block.clique),
        "shape": list(block.shape),
        "offset": block.offset,
        "unit": block.unit,
        "squared_sensitivity": str(block.squared_sensitivity),
        "site_scale": str(block.site_scale),
        "rho": str(block.rho),
    }


def _budget_table(study: Study, statistics: StatisticsPlan) -> Table:
    cohort = study.cohort
    table = Table("", "", show_header=False, title=f"{study.title}: what it would spend")
    table.add_row("unit of privacy", f"{study.unit.name}, {study.unit.max_rows_per_unit} row(s)")
    table.add_row("epsilon, delta", f"{statistics.epsilon:.4f}, {float(statistics.delta):.1e}")
    table.add_row("rho (zCDP)", f"{float(statistics.rho):.6f}")
    table.add_row("sites", f"at least {cohort.n_min}, {cohort.tolerated_colluders} may collude")
    table.add_row("released integers", f"{statistics.length:,} in {len(statistics.blocks)} blocks")
    return table


def _block_table(statistics: StatisticsPlan) -> Table:
    table = Table("block", title="Blocks")
    for heading in ("cells", "sensitivity", "noise of a site", "noise of the sum", "share of rho"):
        table.add_column(heading, justify="right")
    for block in statistics.blocks:
        table.add_row(
            _block_name(block),
            f"{block.size:,}",
            f"{block.squared_sensitivity**0.5:,.1f}",
            f"{float(block.site_scale):,.1f}",
            f"{float(block.variance(statistics.noise_shares)) ** 0.5:,.1f}",
            f"{float(block.rho / statistics.rho):.1%}",
        )
    return table


def _block_name(block: Block) -> str:
    columns = " x ".join(block.clique) or f"number of {block.population.replace('units', 'rows')}"
    return columns if block.kind == "residual" else f"{block.kind} of {columns}"


def _mechanism_table(expectations: tuple[MechanismExpectation, ...]) -> Table:
    table = Table("mechanism", "parents", title="Expected error of each mechanism")
    table.add_column("cells", justify="right")
    table.add_column("sd of a cell (rows)", justify="right")
    for expectation in expectations:
        table.add_row(
            expectation.node,
            ", ".join(expectation.family[:-1]),
            f"{expectation.cells:,}",
            f"{expectation.cell_deviation:,.1f}",
        )
    return table
