"""From the noisy sum of a round to a causal model with its uncertainty.

Noisy tables become families with known noise (tables), each mechanism is fitted to its own
(hierarchy; diagonal where the family is very large), and parameter draws carry sampling and
privacy noise; how well their intervals cover is recorded in
protocol/decisions/0004-effect-intervals.md.

Deterministic for a seed: every mechanism has a generator of its own, named after the node.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.random import Generator, Philox

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan
from protocol.study.families import Population
from protocol.study.study import Study
from server.causal.mechanism import Parts, TableMechanism, apportion
from server.causal.model import Model
from server.causal.model_file import FEWEST_DRAWS, Provenance
from server.causal.noise import check_seed
from server.estimation.diagonal import diagonal_posterior
from server.estimation.evidence import NoisySum
from server.estimation.family import NoisyFamily, Posterior
from server.estimation.hierarchy import fits_in, hierarchical_posterior
from server.estimation.tables import noisy_families

POPULATIONS: tuple[Population, ...] = get_args(Population)
DRAWS = 200
_MOST_DRAWN = 2**27  # cells of all draws of one mechanism
_CELLS_AT_ONCE = 2**22


def fit(
    study: Study,
    plan: StatisticsPlan,
    noisy: NoisySum,
    *,
    earlier: Sequence[NoisySum] = (),
    draws: int = DRAWS,
    seed: int,
) -> Model:
    """Return the causal model of a round's sum, and of earlier ones over the same records.

    Defined for any sum: rows drowned by noise are decided by the rest, with wide draws. Whether
    `earlier` sums are those of studies that this one follows, over the same sites, is for the
    caller to check (`combination.check_follows`).

    Raises:
        UsageError: the sum or the plan is another study's, an earlier sum cannot be combined with
            it, or there are too few or too many draws to keep.
    """
    _check_same(study, plan, noisy)
    _check_draws(study, draws)
    check_seed(seed)
    fitted: dict[str, TableMechanism] = {}
    for population in POPULATIONS:
        mine, *others = (replace(one, population=population) for one in (noisy, *earlier))
        tables = noisy_families(study, mine, others)
        fitted |= {
            column: _mechanism(study, column, family, draws, seed)
            for column, family in tables.items()
        }
    graph = study.causal_graph
    mechanisms = {
        node: replace(fitted[study.family_of(node).node], node=node, parents=graph.parents[node])
        for node in graph.nodes
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
    tables = [family for family in study.families if family.mechanism.uses == "table"]
    largest = max((prod(study.sizes(family.clique)) for family in tables), default=1)
    most = _MOST_DRAWN // largest
    if not FEWEST_DRAWS <= draws <= most:
        raise UsageError(
            "draws-out-of-range",
            f"Expected {FEWEST_DRAWS} to {most} parameter draws for this study, found {draws}.",
            "200 are plenty for intervals; coarser variables make room for more.",
        )


def _mechanism(
    study: Study, column: str, family: NoisyFamily, draws: int, seed: int
) -> TableMechanism:
    posterior: Posterior = (
        hierarchical_posterior(family) if fits_in(family) else diagonal_posterior(family)
    )
    parents = study.family_of(column).parents
    shape = study.sizes((*parents, column))
    return TableMechanism(
        node=column,
        parents=parents,
        table=np.asarray(posterior.mean, dtype=np.float64).reshape(shape),
        parts=_parts(posterior, draws, _generator(seed, column)).reshape(draws, *shape),
        support=np.asarray(family.totals, dtype=np.float64).reshape(shape[:-1]),
    )


def _parts(posterior: Posterior, draws: int, generator: Generator) -> Parts:
    """Return the draws in parts per million, made in batches to bound memory."""
    step = max(1, _CELLS_AT_ONCE // posterior.mean.size)
    counts = [min(step, draws - at) for at in range(0, draws, step)]
    return np.concatenate([apportion(posterior.draw(count, generator)) for count in counts])


def _generator(seed: int, column: str) -> Generator:
    label = hashlib.sha256(f"{column}/draws".encode()).digest()
    key = np.array([seed, int.from_bytes(label[:8], "little")], dtype=np.uint64)
    return Generator(Philox(key=key))
