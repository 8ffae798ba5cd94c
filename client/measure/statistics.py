"""The statistics of one site, before noise: every block of the plan, in one vector.

Sums of integers come from a source, already over the public domain and bounded per unit. What is
returned here must not leave the site without noise.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from client.measure.groups import host_of, marginal, supersets
from client.source.count_source import CountSource
from protocol.errors import UsageError
from protocol.identifiers import MAX_SITES
from protocol.privacy.limits import MAX_SUM
from protocol.privacy.plan import Block, StatisticsPlan
from protocol.privacy.residuals import residual_table
from protocol.privacy.scores import family_score
from protocol.study.families import Family, Population
from protocol.study.selection import differing_families
from protocol.study.study import Study
from protocol.study.time import transition_unit

Integers = NDArray[np.int64]  # shape (plan.length,), in plan order


def measure(plan: StatisticsPlan, study: Study, source: CountSource) -> Integers:
    """Return the plan's statistics of the records of `source`, without noise.

    Precondition: `plan` is the plan of `study`.

    Raises:
        UsageError: the records do not fit the study, or are too many for 64-bit sums.
        StorageError: the records cannot be read.
    """
    statistics = np.zeros(plan.length, np.int64)
    for population in populations(plan):
        _measure_residuals(plan, study, source, population, statistics)
    histograms = [block for block in plan.blocks if block.kind == "histogram"]
    counted = source.histograms([block.clique[0] for block in histograms]) if histograms else {}
    for block in histograms:
        statistics[block.span] = counted[block.clique[0]]
    for block in plan.blocks:
        if block.kind == "moments":
            statistics[block.span] = source.moments(_family_of(plan, block)).ravel()
        if block.kind == "scores":
            statistics[block.span] = _scores(study, source)
    return statistics


def _scores(study: Study, source: CountSource) -> Integers:
    """Return the score of each candidate of a selection: of its families that not all share."""
    families = differing_families(study.candidates)
    wanted = sorted({clique for found in families.values() for clique in found})
    groups = supersets(wanted, study)
    tables = source.counts(groups, "units")
    scores = {}
    for clique in wanted:
        host = host_of(clique, groups, study)
        scores[clique] = family_score(marginal(tables[host], host, clique))
    return np.array([sum(scores[clique] for clique in found) for found in families.values()])


def populations(plan: StatisticsPlan) -> tuple[Population, ...]:
    """Return the populations of a plan, in its order."""
    return tuple(dict.fromkeys(block.population for block in plan.blocks))


def _measure_residuals(
    plan: StatisticsPlan,
    study: Study,
    source: CountSource,
    population: Population,
    statistics: Integers,
) -> None:
    """Write the residual tables of a population, once it is sure that all its sums fit."""
    groups = supersets(plan.tables(population), study) or ((),)
    tables = source.counts(groups, population)
    weight = int(tables[groups[0]].sum())
    persons = -(-weight // _unit(study, population))
    check_rows(study, persons)
    check_overflow(plan, population, persons=persons)
    for block in plan.residuals(population):
        host = host_of(block.clique, groups, study)
        table = residual_table(marginal(tables[host], host, block.clique))
        statistics[block.span] = table.ravel()


def check_rows(study: Study, rows: int) -> None:
    """Check that the site holds no more than the study promises of every site.

    `rows` are rows, or units with transitions, of which there are fewer.

    Raises:
        UsageError: it does.
    """
    most = study.unit.max_rows_per_site
    if most is not None and rows > most:
        raise UsageError(
            "too-many-rows",
            f"Expected at most max_rows_per_site = {most} rows, found more.",
            "Have the study's author raise unit.max_rows_per_site; it is then approved anew.",
        )


def check_overflow(plan: StatisticsPlan, population: Population, *, persons: int) -> None:
    """Check that sums over sites of so many `persons` each stay within 64 bits.

    `persons` are rows, or units with transitions. A round has at most `MAX_SITES` sites.

    Raises:
        UsageError: one could leave them.
    """
    largest = max(largest_of(block) for block in plan.blocks if block.population == population)
    if persons * largest * MAX_SITES >= MAX_SUM:
        raise UsageError(
            "too-many-rows",
            "Expected few enough records for 64-bit sums, found more.",
            "Split the study's largest family, or give its variables fewer levels.",
        )


def largest_of(block: Block) -> int:
    """Return the most, in size, that a row, or all transitions of a unit, add to an element."""
    if block.kind == "residual":
        return block.unit * prod(size - 1 for size in block.shape)
    return block.unit


def _unit(study: Study, population: Population) -> int:
    """Return the weight of a row, or of all transitions of a unit."""
    return transition_unit(study.time) if population == "transitions" and study.time else 1


def _family_of(plan: StatisticsPlan, block: Block) -> Family:
    (family,) = (
        family
        for family in plan.families
        if family.population == block.population and family.node == block.clique[-1]
    )
    return family
