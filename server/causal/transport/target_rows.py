"""Mechanisms of tables from rows of a target population that a researcher holds.

Counts with a Dirichlet prior of one person a row of the table, spread over the node's levels; draws
are those of the posterior (Gelman et al. 2013, 3.4). These rows are not private: they come from
elsewhere, and nothing of them is added to a release.
"""

import numpy as np
import pandas as pd
from numpy.random import Generator, Philox

from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.mechanisms.mechanism import Mechanism, TableMechanism, apportion
from server.causal.sampling.noise import key_of
from server.causal.worlds.reading import codes_of

PRIOR_PERSONS = 1.0  # per row of the table


def mechanism_of_rows(
    study: Study, mechanism: Mechanism, rows: pd.DataFrame, draws: int
) -> TableMechanism:
    """Return the mechanism of a node as rows of another population have it.

    Raises:
        UsageError: a mechanism that is no table, missing columns, no rows, or values outside of
            the study's domains.
    """
    is_time = isinstance(study.variable(mechanism.node), Survival)
    if not isinstance(mechanism, TableMechanism) or is_time:
        kind = study.mechanism_of(mechanism.node)
        raise UsageError(
            "not-a-table",
            f"Expected a mechanism of tables to count rows for, found {mechanism.node!r}, which is "
            f"{'a time to an event' if is_time else kind}.",
            "Give a release of the target population instead of rows.",
        )
    family = (*mechanism.parents, mechanism.node)
    codes = [codes_of(study, name, rows) for name in family]
    sizes = study.model_sizes(family)
    counts = np.zeros(sizes)
    np.add.at(counts, tuple(codes), 1.0)
    weights = counts + PRIOR_PERSONS / sizes[-1]
    key = np.array([0, key_of(f"{mechanism.node}/target")], dtype=np.uint64)
    gamma = Generator(Philox(key=key)).standard_gamma(weights, size=(draws, *sizes))
    return TableMechanism(
        node=mechanism.node,
        parents=mechanism.parents,
        table=weights / weights.sum(axis=-1, keepdims=True),
        parts=apportion(gamma / gamma.sum(axis=-1, keepdims=True)),
        support=counts.sum(axis=-1),
    )
