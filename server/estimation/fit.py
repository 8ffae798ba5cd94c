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
from protocol.study.families import Family, Population
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.files.model_file import FEWEST_DRAWS, Provenance
from server.causal.mechanisms.mechanism import (
    Caution,
    Mechanism,
    RegressionMechanism,
    RuleMechanism,
    TableMechanism,
    at_node,
)
from server.causal.model import Model
from server.causal.sampling.noise import check_seed
from server.estimation.cautions import pile_cautions, survival_cautions, table_cautions
from server.estimation.combination import check_alike
from server.estimation.evidence import NoisySum
from server.estimation.family import NoisyFamily
from server.estimation.moment_matching import SimulatedParents
from server.estimation.number_mechanism import number_mechanism, simulated_parents
from server.estimation.placement import fit_placements
from server.estimation.table_mechanism import table_mechanism
from server.estimation.tables import noisy_families

POPULATIONS: tuple[Population, ...] = get_args(Population)
DRAWS = 200
_MOST_DRAWN = 2**27  # cells of all draws of one mechanism


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
    for one in earlier:
        check_alike(noisy, one)
    found = _Fit(study, (noisy, *earlier), draws, seed)
    for family in study.families:
        found.add(family)
    graph = study.mechanism_graph
    mechanisms = {
        node: at_node(found.mechanisms[study.family_of(node).node], node, graph.parents[node])
        for node in graph.nodes
    }
    provenance = Provenance(study.hash, plan.hash, noisy.contributors)
    return Model(
        study,
        MappingProxyType(mechanisms),
        provenance,
        placements=MappingProxyType(dict(found.placements)),
        cautions=tuple(found.cautions),
    )


class _Fit:
    """Mechanisms by their columns, fitted one after another in the order of the graph."""

    def __init__(self, study: Study, sums: Sequence[NoisySum], draws: int, seed: int) -> None:
        self._study, self._sums, self._draws, self._seed = study, sums, draws, seed
        self._tables: dict[str, NoisyFamily] = {}
        for population in POPULATIONS:
            mine, *others = (replace(one, population=population) for one in sums)
            self._tables |= noisy_families(study, mine, others)
        self.placements = fit_placements(study, sums, draws, self._generator("placements"))
        self.mechanisms: dict[str, Mechanism] = {}
        self.cautions: list[Caution] = [*pile_cautions(study, sums)]

    def add(self, family: Family) -> None:
        """Fit one family; those before it in the graph have been added."""
        match family.mechanism.uses:
            case "table":
                self.mechanisms[family.node] = self._table(family)
            case "moments":
                self.mechanisms[family.node] = self._numbers(family)
            case "none":
                value = family.mechanism.value or ""
                self.mechanisms[family.node] = RuleMechanism(family.node, family.parents, value)

    def _table(self, family: Family) -> TableMechanism:
        noisy = self._tables[family.node]
        self.cautions += table_cautions(family, noisy)
        if isinstance(self._study.variable(family.node), Survival):
            self.cautions += survival_cautions(self._study, family, self._sums)
        generator = self._generator(family.node)
        return table_mechanism(self._study, family, noisy, self._draws, generator)

    def _numbers(self, family: Family) -> RegressionMechanism:
        def upstream() -> SimulatedParents:
            return simulated_parents(
                self._study, family, self.mechanisms, self.placements, self._seed
            )

        generator = self._generator(family.node)
        mechanism, cautions = number_mechanism(
            self._study, family, self._sums, upstream, self._draws, generator
        )
        self.cautions += cautions
        return mechanism

    def _generator(self, column: str) -> Generator:
        label = hashlib.sha256(f"{column}/draws".encode()).digest()
        key = np.array([self._seed, int.from_bytes(label[:8], "little")], dtype=np.uint64)
        return Generator(Philox(key=key))


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
