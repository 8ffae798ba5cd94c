"""`concause study`: look at a study before anything is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from protocol.privacy.expectation import MechanismExpectation, expected_errors
from protocol.privacy.plan import Block, StatisticsPlan, compile_plan
from protocol.study.study import Study
from server.commands.output import JsonFlag, read_study, show

app = typer.Typer(no_args_is_help=True, help="Check a study and see what it would cost.")
StudyFile = Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)]


@app.command()
def check(study_file: StudyFile, *, as_json: JsonFlag = False) -> None:
    """Check a study: every problem is named with its line and what to write instead."""
    study = read_study(study_file)
    line = f"study hash: {study.hash.hex()}"
    show(_study_document(study), _study_table(study), line, as_json=as_json)


@app.command()
def plan(study_file: StudyFile, *, as_json: JsonFlag = False) -> None:
    """Show blocks, cells, noise, budget and expected error, before anything is spent."""
    study = read_study(study_file)
    statistics = compile_plan(study)
    expectations = expected_errors(study, statistics)
    show(
        _plan_document(study, statistics, expectations),
        _budget_table(study, statistics),
        _block_table(statistics),
        _mechanism_table(expectations),
        f"study hash: {study.hash.hex()}\nplan hash: {statistics.hash.hex()}",
        as_json=as_json,
    )


def _study_document(study: Study) -> dict[str, Any]:
    graph = study.causal_graph
    return {
        "name": study.name,
        "title": study.title,
        "study_hash": study.hash.hex(),
        "expires": study.expires.isoformat(),
        "variables": {name: list(study.variables[name].labels) for name in graph.nodes},
        "edges": [[parent, node] for node in graph.nodes for parent in graph.parents[node]],
        "questions": [question.name for question in study.questions],
    }


def _study_table(study: Study) -> Table:
    graph = study.causal_graph
    table = Table("variable", "kind", "levels", "parents", title=f"{study.title}")
    for name in graph.nodes:
        variable = study.variables[name]
        parents = ", ".join(graph.parents[name])
        table.add_row(name, variable.kind, str(variable.size), parents)
    questions = ", ".join(question.name for question in study.questions)
    table.caption = f"questions: {questions}"
    return table


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
        "clique": list(block.clique),
        "shape": list(block.shape),
        "offset": block.offset,
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
            " x ".join(block.clique) or "number of rows",
            f"{block.size:,}",
            f"{block.squared_sensitivity**0.5:,.1f}",
            f"{float(block.site_scale):,.1f}",
            f"{float(block.variance(statistics.noise_shares)) ** 0.5:,.1f}",
            f"{float(block.rho / statistics.rho):.1%}",
        )
    return table


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
