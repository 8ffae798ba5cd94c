"""From the noisy sum of a round to a causal model with its uncertainty.

1. Noisy residual tables become coordinates with independent noise of known variance (contrasts).
2. Non-negative tables of all families that agree with each other give row totals and every
   child's own distribution (consistency).
3. Each mechanism is fitted to the unbiased noisy table of its family (hierarchy; diagonal where
   the family is very large). Clipped counts are used for totals only, never as counts of cells.
4. Parameter draws carry sampling and privacy noise; how well their intervals cover is recorded in
   protocol/decisions/0004-effect-intervals.md.

Deterministic for a seed: every mechanism has a generator of its own, named after the node.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.random import Generator, Philox

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan
from protocol.study.study import Study
from protocol.study.variables import Ordinal
from server.causal.mechanism import Parts, TableMechanism, apportion
from server.causal.model import Model
from server.causal.model_file import FEWEST_DRAWS, Provenance
from server.causal.noise import check_seed
from server.estimation.consistency import consistent_tables
from server.estimation.contrasts import (
    Reals,
    coordinates_of,
    family_map,
    layout_of,
)
from server.estimation.diagonal import diagonal_posterior
from server.estimation.evidence import NoisySum
from server.estimation.family import NoisyFamily, Posterior, base_distribution
from server.estimation.hierarchy import fits_in, hierarchical_posterior

DRAWS = 200
_MOST_DRAWN = 2**27  # cells of all draws of one mechanism
_CELLS_AT_ONCE = 2**22


def fit(
    study: Study, plan: StatisticsPlan, noisy: NoisySum, *, draws: int = DRAWS, seed: int
) -> Model:
    """Return the causal model of a round's sum.

    Defined for any sum: rows drowned by noise are decided by the rest, with wide draws.

    Raises:
        UsageError: the sum or the plan is another study's, or there are too few or too many
            draws to keep.
    """
    _check_same(study, plan, noisy)
    _check_draws(study, draws)
    check_seed(seed)
    tables = _family_tables(study, noisy)
    mechanisms = {
        node: _mechanism(study, node, family, draws, seed) for node, family in tables.items()
    }
    provenance = Provenance(study.hash, plan.hash, noisy.contributors)
    return Model(study, MappingProxyType(mechanisms), provenance)


def _check_same(study: Study, plan: StatisticsPlan, noisy: NoisySum) -> None:
    if plan.study_hash != study.hash or noisy.plan != plan:
        raise UsageError(
            "other-study",
            "Expected study, plan and sum of one round, found parts of different ones.",
            "Compile the plan from this study, and use the sum of its round.",
        )


def _check_draws(study: Study, draws: int) -> None:
    families = study.causal_graph.families()
    largest = max(int(np.prod(study.sizes(family))) for family in families)
    most = _MOST_DRAWN // largest
    if not FEWEST_DRAWS <= draws <= most:
        raise UsageError(
            "draws-out-of-range",
            f"Expected {FEWEST_DRAWS} to {most} parameter draws for this study, found {draws}.",
            "200 are plenty for intervals; coarser variables make room for more.",
        )


def _family_tables(study: Study, noisy: NoisySum) -> Mapping[str, NoisyFamily]:
    sizes = {name: variable.size for name, variable in study.variables.items()}
    layout = layout_of(noisy, sizes)
    observed, variance = coordinates_of(noisy, layout)
    graph = study.causal_graph
    maps = [family_map(graph.family(node), layout) for node in graph.nodes]
    consistent = consistent_tables(maps, observed, variance)
    return {
        node: _noisy_family(
            table,
            one.table(observed),
            one.cell_variance(variance),
            _scores(study, node),
            float(family_map((node,), layout).cell_variance(variance).mean()),
        )
        for node, one, table in zip(graph.nodes, maps, consistent, strict=True)
    }


def _noisy_family(
    consistent: Reals,
    noisy: Reals,
    variances: Reals,
    scores: tuple[float | None, ...] | None,
    own_variance: float,
) -> NoisyFamily:
    """Return one family; arrays have the family's shape, `own_variance` is the child's table's."""
    codes = consistent.shape[-1]
    rows, by_contrast = consistent.reshape(-1, codes), variances.reshape(-1, codes)
    return NoisyFamily(
        table=noisy.reshape(-1, codes),
        totals=rows.sum(axis=1),
        base=base_distribution(rows.sum(axis=0), own_variance),
        parent_sizes=consistent.shape[:-1],
        contrast_variance=float(by_contrast[:, 1:].mean()),
        total_variance=codes * float(by_contrast[:, 0].mean()),
        scores=scores,
    )


def _scores(study: Study, node: str) -> tuple[float | None, ...] | None:
    """Return the scores of a node whose order the study gives meaning to, else None."""
    variable = study.variables[node]
    ordered = isinstance(variable, Ordinal) or study.mechanism_of(node) == "binned"
    scores = tuple(None if score is None else float(score) for score in variable.scores)
    return scores if ordered and sum(score is not None for score in scores) > 1 else None


def _mechanism(
    study: Study, node: str, family: NoisyFamily, draws: int, seed: int
) -> TableMechanism:
    posterior: Posterior = (
        hierarchical_posterior(family) if fits_in(family) else diagonal_posterior(family)
    )
    parents = study.causal_graph.parents[node]
    shape = study.sizes((*parents, node))
    return TableMechanism(
        node=node,
        parents=parents,
        table=np.asarray(posterior.mean, dtype=np.float64).reshape(shape),
        parts=_parts(posterior, draws, _generator(seed, node)).reshape(draws, *shape),
        support=np.asarray(family.totals, dtype=np.float64).reshape(shape[:-1]),
    )


def _parts(posterior: Posterior, draws: int, generator: Generator) -> Parts:
    """Return the draws in parts per million, made in batches to bound memory."""
    step = max(1, _CELLS_AT_ONCE // posterior.mean.size)
    counts = [min(step, draws - at) for at in range(0, draws, step)]
    return np.concatenate([apportion(posterior.draw(count, generator)) for count in counts])


def _generator(seed: int, node: str) -> Generator:
    label = hashlib.sha256(f"{node}/draws".encode()).digest()
    key = np.array([seed, int.from_bytes(label[:8], "little")], dtype=np.uint64)
    return Generator(Philox(key=key))
