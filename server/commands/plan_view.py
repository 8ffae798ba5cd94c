"""A plan as `concause study plan` shows it: tables for people, and JSON."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from protocol.privacy.expectation import MechanismExpectation
from protocol.privacy.plan import Block, StatisticsPlan
from protocol.study.study import Study
from server.release.statement import row_bound


def plan_document(
    study: Study, statistics: StatisticsPlan, expectations: tuple[MechanismExpectation, ...]
) -> dict[str, Any]:
    """Return the plan as plain values."""
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


def budget_table(study: Study, statistics: StatisticsPlan) -> Table:
    """Return who is protected, at what cost, and with how many sites."""
    cohort = study.cohort
    table = Table("", "", show_header=False, title=f"{study.title}: what it would spend")
    table.add_row("unit of privacy", f"{study.unit.name}, at most {row_bound(study)} at a site")
    table.add_row("epsilon, delta", f"{statistics.epsilon:.4f}, {float(statistics.delta):.1e}")
    table.add_row("rho (zCDP)", f"{float(statistics.rho):.6f}")
    table.add_row("sites", f"at least {cohort.n_min}, {cohort.tolerated_colluders} may collude")
    table.add_row("released integers", f"{statistics.length:,} in {len(statistics.blocks)} blocks")
    return table


def block_table(statistics: StatisticsPlan) -> Table:
    """Return the blocks with their noise, which is of the integers that are released."""
    table = Table("block", title="Blocks: sensitivity and noise (sd) of their integers")
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
    if block.kind == "scores":
        return "scores of candidates"
    if not block.clique:
        return f"number of {block.population.replace('units', 'rows')}"
    columns = " x ".join(block.clique)
    if block.population == "transitions":
        columns += " in transitions"
    return columns if block.kind == "residual" else f"{block.kind} of {columns}"


def mechanism_table(expectations: tuple[MechanismExpectation, ...]) -> Table:
    """Return the noise in the table of each mechanism that has one."""
    table = Table("mechanism", "parents", title="Expected noise of each mechanism with a table")
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


def about_mechanisms(
    statistics: StatisticsPlan, expectations: tuple[MechanismExpectation, ...], persons: float
) -> Iterator[str]:
    """Yield what the table of mechanisms leaves out, and which tables are too large."""
    for uses, words in (
        ("moments", "fitted to moments, with an error that depends on the data"),
        ("none", "rules, without error"),
    ):
        nodes = [it.node for it in statistics.families if it.mechanism.uses == uses]
        if nodes:
            yield f"{words}: {', '.join(nodes)}"
    for one in expectations:
        rows = persons / one.cells
        if one.cell_deviation > rows:
            yield (
                f"caution: a cell of {one.node} has {rows:.2g} rows on average and noise of "
                f"{one.cell_deviation:.2g}; give it fewer parents, or its variables fewer levels"
            )
