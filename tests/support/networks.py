"""Networks with known parameters, data from them, and what a round would release of the data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import residual_table
from protocol.study.document import parse_study
from protocol.study.graph import Clique
from protocol.study.study import Study
from server.causal.files.model_file import FEWEST_DRAWS, Provenance
from server.causal.mechanisms.mechanism import TableMechanism, apportion
from server.causal.model import Model
from server.estimation.evidence import NoisySum

Table = NDArray[np.float64]  # shape (parents' sizes .., size)
Records = NDArray[np.int64]  # codes, shape (rows, nodes)
BOOLEAN = 'kind = "boolean"'


@dataclass(frozen=True)
class Network:
    """A study with the true parameters of all its mechanisms."""

    study: Study
    tables: Mapping[str, Table]

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.study.causal_graph.nodes

    def joint(self, fixed: Mapping[str, int] | None = None) -> Table:
        """Return the joint distribution over all nodes in order, by brute force."""
        fixed = fixed or {}
        sizes = self.study.sizes(self.nodes)
        found = np.ones(sizes)
        for node in self.nodes:
            family = self.study.causal_graph.family(node)
            table = self.tables[node]
            if node in fixed:
                family, table = (node,), np.eye(sizes[self.nodes.index(node)])[fixed[node]]
            pairs = zip(self.nodes, sizes, strict=True)
            shape = [size if name in family else 1 for name, size in pairs]
            found = found * table.reshape(shape)  # parents and node are in the order of nodes
        return found

    def marginal(self, node: str, fixed: Mapping[str, int] | None = None) -> Table:
        """Return P(node | do(fixed)) from the joint distribution."""
        others = tuple(axis for axis, name in enumerate(self.nodes) if name != node)
        return np.asarray(self.joint(fixed).sum(axis=others))

    def mean(self, node: str, fixed: Mapping[str, int] | None = None) -> float:
        """Return the mean score of `node` over its scored codes, in the world do(fixed)."""
        shares, scores = self.marginal(node, fixed), self.study.variables[node].scores
        pairs = [(s, float(x)) for s, x in zip(shares, scores, strict=True) if x is not None]
        scored = float(sum(share for share, _ in pairs))
        return float(sum(share * score for share, score in pairs)) / scored

    def effect(self, treatment: str, outcome: str) -> float:
        """Return E[outcome | do(treatment = 1)] - E[outcome | do(treatment = 0)], by codes."""
        return self.mean(outcome, {treatment: 1}) - self.mean(outcome, {treatment: 0})

    def records(self, rows: int, generator: Generator) -> Records:
        """Return codes of `rows` persons, drawn with numpy alone."""
        codes = np.zeros((rows, len(self.nodes)), dtype=np.int64)
        for position, node in enumerate(self.nodes):
            parents = self.study.causal_graph.parents[node]
            at = tuple(codes[:, self.nodes.index(parent)] for parent in parents)
            cumulative = np.cumsum(self.tables[node][at].reshape(-1, self._size(node)), axis=1)
            uniform = generator.random((rows, 1))
            codes[:, position] = (uniform >= cumulative[:, :-1]).sum(axis=1)
        return codes

    def model(self, draws: int = FEWEST_DRAWS) -> Model:
        """Return the model with the true parameters; every draw is near the truth."""
        generator = default_rng(7)
        mechanisms = {}
        for node in self.nodes:
            table = self.tables[node]
            noise = generator.gamma(400.0, size=(draws, *table.shape)) * table
            sets = noise / noise.sum(axis=-1, keepdims=True)
            parents = self.study.causal_graph.parents[node]
            support = np.full(table.shape[:-1], 100.0)
            mechanisms[node] = TableMechanism(node, parents, table, apportion(sets), support)
        provenance = Provenance(self.study.hash, self.study.hash, 3)
        return Model(self.study, MappingProxyType(mechanisms), provenance)

    def _size(self, node: str) -> int:
        return self.study.variables[node].size


def network(
    variables: Mapping[str, str], edges: Sequence[str], tables: Mapping[str, Table], **study: str
) -> Network:
    """Return a network; `variables` and `study` (budget, cohort) hold inline TOML."""
    cohort = study.get("cohort", "n_min = 3, tolerated_colluders = 1, threshold = 3")
    parts = [
        'format = "concause-study/1"\nname = "made"\ntitle = "Made"\nauthor = "A"',
        'expires = 2030-12-31\ntrust = { aggregation = "masking" }',
        f"budget = {{ {study.get('budget', 'epsilon = 3.0, delta = 1e-6')} }}",
        f"cohort = {{ {cohort} }}",
        f"graph = {{ edges = {list(edges)} }}",
        *(f"[variables.{name}]\n{text}" for name, text in variables.items()),
    ]
    return Network(
        parse_study("\n".join(parts)), {name: np.asarray(t) for name, t in tables.items()}
    )


def yes(*probabilities: float) -> Table:
    """Return the table of a boolean node with P(1) per parent row, one parent at most."""
    table = np.array([[1 - p, p] for p in probabilities])
    return table[0] if len(probabilities) == 1 else table


def asia(**study: str) -> Network:
    """Return the network of Lauritzen and Spiegelhalter 1988; `either` is a deterministic OR."""
    either = np.zeros((2, 2, 2))
    either[:, :, 1] = [[0, 1], [1, 1]]
    either[:, :, 0] = 1 - either[:, :, 1]
    dyspnoea = np.array([[0.1, 0.7], [0.8, 0.9]])  # by bronchitis, either
    return network(
        dict.fromkeys(
            ("asia", "bronchitis", "dyspnoea", "either", "lung", "smoke", "tub", "xray"), BOOLEAN
        ),
        [
            *("asia -> tub", "smoke -> lung", "smoke -> bronchitis", "tub -> either"),
            *("lung -> either", "either -> xray", "either -> dyspnoea", "bronchitis -> dyspnoea"),
        ],
        {
            "asia": yes(0.01),
            "smoke": yes(0.5),
            "tub": yes(0.01, 0.05),
            "lung": yes(0.01, 0.1),
            "bronchitis": yes(0.3, 0.6),
            "either": either,
            "xray": yes(0.05, 0.98),
            "dyspnoea": np.stack([1 - dyspnoea, dyspnoea], axis=-1),
        },
        **study,
    )


def weights(**study: str) -> Network:
    """Return a network shaped like NHEFS: does quitting change weight, given age and intensity?

    The outcome is normal around a mean that falls with age and rises with quitting, with heavier
    tails, in ten bins; the effect of quitting is between 3 and 4 kg.
    """
    edges = (-30, -15, -8, -4, 0, 3, 6, 10, 15, 25, 40)
    intensity = np.array(
        [[0.28, 0.49, 0.23], [0.26, 0.41, 0.33], [0.28, 0.42, 0.3], [0.34, 0.44, 0.22]]
    )
    quit_share = np.array(
        [[0.28, 0.2, 0.16], [0.26, 0.22, 0.2], [0.39, 0.18, 0.27], [0.47, 0.26, 0.38]]
    )
    change = np.zeros((4, 3, 2, 10))
    for age, smoked, quitting in np.ndindex(4, 3, 2):
        mean = 4.2 - 2.2 * age + 0.4 * smoked + (3.2 + 0.3 * smoked) * quitting
        change[age, smoked, quitting] = 0.97 * _binned_normal(edges, mean, 7.3)
        change[age, smoked, quitting] += 0.03 * _binned_normal(edges, mean, 18.0)
    return network(
        {
            "age": 'kind = "numeric"\nedges = [25, 35, 45, 55, 75]',
            "intensity": 'kind = "numeric"\nedges = [0, 15, 25, 80]',
            "quitting": BOOLEAN,
            "change": f'kind = "numeric"\nedges = {list(edges)}\nunit = "kg"',
        },
        [
            *("age -> intensity", "age -> quitting", "intensity -> quitting"),
            *("age -> change", "intensity -> change", "quitting -> change"),
        ],
        {
            "age": np.array([0.25, 0.24, 0.27, 0.24]),
            "intensity": intensity,
            "quitting": np.stack([1 - quit_share, quit_share], axis=-1),
            "change": change,
        },
        **study,
    )


def mixed() -> Network:
    """Return a small network with every kind of variable, OTHER and MISSING among them."""
    generator = default_rng(3)
    sizes = {"age": 3, "blood": 4, "dose": 4, "event": 3, "fever": 2}
    parents: dict[str, Clique] = {
        "age": (),
        "blood": (),
        "dose": ("age", "blood"),
        "event": ("dose",),
        "fever": ("dose", "event"),
    }
    tables = {
        node: generator.dirichlet(
            np.ones(sizes[node]), size=tuple(sizes[name] for name in parents[node])
        )
        for node in sizes
    }
    return network(
        {
            "age": 'kind = "numeric"\nedges = [0, 17.5, 65]\nmissing = true\nunit = "years"',
            "blood": 'kind = "categorical"\nlevels = ["A", "B", "AB"]\nother = true',
            "dose": 'kind = "ordinal"\nlevels = ["none", "low", "high"]\nmissing = true',
            "event": 'kind = "boolean"\nmissing = true',
            "fever": 'kind = "numeric"\nedges = [36, 37.3, 42]',
        },
        [f"{parent} -> {node}" for node in sizes for parent in parents[node]],
        tables,
    )


def release(
    plan: StatisticsPlan,
    records: Records,
    study: Study,
    generator: Generator | None,
    contributors: int = 3,
) -> NoisySum:
    """Return what a round over `records` would release; without a generator, without noise.

    Rounded Gaussian noise stands in for the discrete Gaussian: same variance up to 1/12.
    """
    values = np.zeros(plan.length, dtype=np.int64)
    for block in plan.blocks:
        exact = residual_table(counts(records, block.clique, study)).ravel()
        scale = math.sqrt(block.variance(contributors))
        noise = 0.0 if generator is None else scale * generator.standard_normal(block.size)
        values[block.span] = exact + np.rint(noise).astype(np.int64)
    return NoisySum(plan, values, contributors)


def counts(records: Records, clique: Clique, study: Study) -> NDArray[np.int64]:
    """Return the contingency table of a clique."""
    shape = study.sizes(clique)
    nodes = study.causal_graph.nodes
    columns = [records[:, nodes.index(name)] for name in clique]
    flat = np.ravel_multi_index(columns, shape) if clique else np.zeros(len(records), np.intp)
    return np.bincount(flat, minlength=prod(shape)).reshape(shape).astype(np.int64)


def _binned_normal(edges: Sequence[float], mean: float, deviation: float) -> Table:
    below = [0.5 * math.erfc((mean - edge) / (deviation * math.sqrt(2))) for edge in edges[1:-1]]
    return np.diff(np.array([0.0, *below, 1.0]))


def tables_of(model: Model) -> dict[str, TableMechanism]:
    """Return the mechanisms of a model of tables alone."""
    found = {}
    for node, mechanism in model.mechanisms.items():
        assert isinstance(mechanism, TableMechanism)
        found[node] = mechanism
    return found
