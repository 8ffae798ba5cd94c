"""The statistics of one site, before noise: every residual table of the plan, in one vector.

Contingency tables come from a source, already over the public domain and bounded per unit. What
is returned here must not leave the site without noise.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from client.measure.groups import host_of, marginal, supersets
from client.source.count_source import CountSource
from protocol.errors import UsageError
from protocol.identifiers import MAX_SITES
from protocol.privacy.limits import MAX_SUM
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import residual_table
from protocol.study.study import Study

Integers = NDArray[np.int64]  # shape (plan.length,), in plan order


def measure(plan: StatisticsPlan, study: Study, source: CountSource) -> Integers:
    """Return the plan's statistics of the records of `source`, without noise.

    Precondition: `plan` is the plan of `study`.

    Raises:
        UsageError: the records do not fit the study, or are too many for 64-bit sums.
        StorageError: the records cannot be read.
    """
    groups = supersets(plan.tables(), study)
    tables = source.counts(groups)
    check_overflow(plan, rows=int(tables[groups[0]].sum()))
    statistics = np.zeros(plan.length, np.int64)
    for block in plan.residuals():
        host = host_of(block.clique, groups, study)
        table = residual_table(marginal(tables[host], host, block.clique))
        statistics[block.span] = table.ravel()
    return statistics


def check_overflow(plan: StatisticsPlan, *, rows: int) -> None:
    """Check that sums over sites of so many `rows` each stay within 64 bits.

    An element of a block is at most rows * prod_i (m_i - 1) in absolute value; a round has at
    most `MAX_SITES` sites.

    Raises:
        UsageError: one could.
    """
    largest = max(prod(size - 1 for size in block.shape) for block in plan.blocks)
    if rows * largest * MAX_SITES >= MAX_SUM:
        raise UsageError(
            "too-many-rows",
            "Expected few enough records for 64-bit sums, found more.",
            "Split the study's largest family, or give its variables fewer levels.",
        )
