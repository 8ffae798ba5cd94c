"""Mechanisms of all kinds that are fitted to the noisy table of their family."""

import numpy as np
from numpy.random import Generator

from protocol.study.families import Family
from protocol.study.mechanisms import REGRESSION_KINDS
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.mechanisms.mechanism import Censoring, Parts, TableMechanism, apportion
from server.estimation.blend import table_posterior
from server.estimation.family import NoisyFamily, Posterior, Sets
from server.estimation.selection import restricted
from server.estimation.survival import censoring_shares, event_shares
from server.estimation.table_regression import fit_table_regression

_CELLS_AT_ONCE = 2**22


def table_mechanism(
    study: Study, family: Family, noisy: NoisyFamily, draws: int, generator: Generator
) -> TableMechanism:
    """Return the mechanism of a column, from the noisy table over all measured codes."""
    if isinstance(study.variable(family.node), Survival):
        sizes = (*study.model_sizes(family.parents), noisy.codes)
        return _survival(study, family, restricted(noisy, sizes), draws, generator)
    seen = restricted(noisy, study.model_sizes(family.clique))
    if family.mechanism.kind in REGRESSION_KINDS:
        return _regression(study, family, seen, draws, generator)
    posterior = table_posterior(seen)
    parts = [apportion(sets) for sets in _batches(posterior, draws, generator)]
    return _mechanism(study, family, seen, posterior.mean, np.concatenate(parts))


def _batches(posterior: Posterior, draws: int, generator: Generator) -> list[Sets]:
    """Return the draws in batches, which bound memory."""
    step = max(1, _CELLS_AT_ONCE // posterior.mean.size)
    counts = [min(step, draws - at) for at in range(0, draws, step)]
    return [posterior.draw(count, generator) for count in counts]


def _mechanism(
    study: Study,
    family: Family,
    noisy: NoisyFamily,
    table: Sets,
    parts: Parts,
    **more: object,
) -> TableMechanism:
    shape = study.model_sizes(family.clique)
    return TableMechanism(
        node=family.node,
        parents=family.parents,
        table=np.asarray(table, dtype=np.float64).reshape(shape),
        parts=parts.reshape(len(parts), *shape),
        support=np.asarray(noisy.totals, dtype=np.float64).reshape(shape[:-1]),
        **more,  # type: ignore[arg-type]
    )


def _survival(
    study: Study, family: Family, noisy: NoisyFamily, draws: int, generator: Generator
) -> TableMechanism:
    posterior = table_posterior(noisy)
    sets = np.concatenate(_batches(posterior, draws, generator))
    *parents, _ = study.model_sizes(family.clique)
    ends = censoring_shares(posterior.mean)
    end_parts = apportion(censoring_shares(sets))
    censoring = Censoring(
        table=ends.reshape(*parents, ends.shape[-1]),
        parts=end_parts.reshape(draws, *parents, ends.shape[-1]),
    )
    parts = apportion(event_shares(sets))
    table = event_shares(posterior.mean)
    return _mechanism(study, family, noisy, table, parts, censoring=censoring)


def _regression(
    study: Study, family: Family, noisy: NoisyFamily, draws: int, generator: Generator
) -> TableMechanism:
    found = fit_table_regression(study, family, noisy, draws, generator)
    parts = apportion(found.draws)
    return _mechanism(study, family, noisy, found.table, parts, terms=found.terms)
