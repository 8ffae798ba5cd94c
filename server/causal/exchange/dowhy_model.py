"""A model as DoWhy's graphical causal model (extra `exchange` and DoWhy; written for 0.14).

Mechanisms are functions of parents and of noise, as `structural.py` has them; DoWhy draws the
noise. They are fitted already: give the model to `dowhy.gcm.draw_samples`, `interventional_samples`
and so on as it is. Where every node is a Gaussian regression or a rule the model is invertible, and
`counterfactual_samples` knows each person's noise.
"""

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np

from protocol.errors import UsageError
from server.causal.exchange.refusals import INSTALL_DOWHY, needed
from server.causal.exchange.structural import Structural, notation_of
from server.causal.model import Model
from server.causal.sampling.nodes import Reads, RegressionNode, RuleNode, TableNode, WorldNode
from server.causal.worlds.part import Part
from server.causal.worlds.world import World


def to_dowhy(model: Model) -> Any:  # noqa: ANN401 - DoWhy has no types
    """Return the world of a model as DoWhy's structural causal model, at the point estimate.

    Columns are as `structural.py` says: levels as texts, booleans as 0 and 1, numbers. Of a view
    under interventions it is the model of that view.

    Raises:
        UsageError: DoWhy is not installed, or a node that it cannot hold: a time to an event, a
            lottery, an agent, or the natural value of a node that is set.
    """
    gcm = needed("dowhy.gcm", "to make its model", INSTALL_DOWHY)
    bases = needed("dowhy.gcm.causal_mechanisms", "to make its model", INSTALL_DOWHY)
    world = model.world
    structurals = {part.node: _structural(world, part, at) for at, part in _parts(world)}
    invertible = all(one.is_invertible for one in structurals.values())
    graph = nx.DiGraph(_edges(world))
    graph.add_nodes_from(structurals)
    kind = gcm.InvertibleStructuralCausalModel if invertible else gcm.StructuralCausalModel
    found = kind(graph)
    root, inner = _root_class(bases), _inner_class(bases, invertible=invertible)
    for node, one in structurals.items():
        parents = sorted(graph.predecessors(node))
        mechanism = inner(_reading(one, parents)) if parents else root(one)
        found.set_causal_mechanism(node, mechanism)
        # what gcm's fit would leave, so that it takes the model as fitted for this graph
        found.graph.nodes[node]["parents_during_fit"] = parents
    return found


def _parts(world: World) -> list[tuple[int, Part]]:
    for part in world.parts:
        if part.name != part.node:
            raise _unfit(part.node, "a node that is set and whose natural value is still read")
    return list(enumerate(world.parts))


def _edges(world: World) -> list[tuple[str, str]]:
    return [(parent, part.node) for part in world.parts for parent in part.parents]


def _structural(world: World, part: Part, at: int) -> Structural:
    """Return a node as a function, whose parents are at the positions of `reads`."""
    node = world.compiled(None)[at]
    if not isinstance(node, TableNode | RegressionNode | RuleNode):
        raise _unfit(part.node, "a time to an event, or a lottery")
    names = [world.parts[place].node for place in _places(node)]
    order = {place: rank for rank, place in enumerate(_places(node))}
    reads = tuple(notation_of(world.study, name, _bins(world, name)) for name in names)
    own = notation_of(world.study, part.node, node.bins)
    return Structural(_moved(node, order), own, reads)


def _places(node: TableNode | RegressionNode | RuleNode) -> list[int]:
    match node:
        case TableNode():
            found = node.table.parents
        case RegressionNode():
            found = (*node.rows, *node.regressors)
        case RuleNode():
            found = tuple(node.reads.places.values())
    return list(dict.fromkeys(found))


def _moved(
    node: TableNode | RegressionNode | RuleNode, order: dict[int, int]
) -> TableNode | RegressionNode | RuleNode:
    match node:
        case TableNode():
            places = tuple(order[place] for place in node.table.parents)
            return replace(node, table=replace(node.table, parents=places))
        case RegressionNode():
            rows = tuple(order[place] for place in node.rows)
            return replace(
                node, rows=rows, regressors=tuple(order[place] for place in node.regressors)
            )
        case RuleNode():
            places_by_name = {name: order[place] for name, place in node.reads.places.items()}
            return replace(node, reads=Reads(places_by_name, node.reads.labels))


def _bins(world: World, name: str) -> Any:  # noqa: ANN401 - Bins, or None
    node: WorldNode = world.compiled(None)[world.place[name]]
    return getattr(node, "bins", None)


def _reading(one: Structural, parents: list[str]) -> tuple[Structural, list[int]]:
    """Return a node with the columns that its parents have among DoWhy's, which sorts them."""
    return one, [parents.index(notation.node) for notation in one.reads]


def _root_class(bases: Any) -> Any:  # noqa: ANN401 - DoWhy has no types
    """Return the class of mechanisms without parents; its base is loaded late."""

    class Root(bases.StochasticModel):  # type: ignore[misc]
        """A node without parents."""

        def __init__(self, one: Structural) -> None:
            self._one = one

        def fit(self, X: Any) -> None:  # noqa: ANN401, N803 - as DoWhy calls it
            """Stay as the release has it."""

        def draw_samples(self, num_samples: int) -> Any:  # noqa: ANN401
            noise = self._one.noise(np.random, num_samples)
            none = np.empty((num_samples, 0), dtype=object)
            return self._one.value(none, noise)

        def clone(self) -> "Root":
            return Root(self._one)

    return Root


def _inner_class(bases: Any, *, invertible: bool) -> Any:  # noqa: ANN401 - DoWhy has no types
    """Return the class of mechanisms with parents."""
    base = bases.InvertibleFunctionalCausalModel if invertible else bases.FunctionalCausalModel

    class Inner(base):  # type: ignore[misc, valid-type]
        """A node with parents."""

        def __init__(self, reading: tuple[Structural, list[int]]) -> None:
            self._reading = reading
            self._one, self._columns = reading

        def fit(self, X: Any, Y: Any) -> None:  # noqa: ANN401, N803 - as DoWhy calls it
            """Stay as the release has it."""

        def draw_noise_samples(self, num_samples: int) -> Any:  # noqa: ANN401
            return self._one.noise(np.random, num_samples).reshape(-1, 1)

        def evaluate(self, parent_samples: Any, noise_samples: Any) -> Any:  # noqa: ANN401
            columns = np.asarray(parent_samples, dtype=object)[:, self._columns]
            found = self._one.value(columns, np.asarray(noise_samples, dtype=np.float64).ravel())
            return found.reshape(-1, 1)

        def estimate_noise(self, target_samples: Any, parent_samples: Any) -> Any:  # noqa: ANN401
            columns = np.asarray(parent_samples, dtype=object)[:, self._columns]
            target = np.asarray(target_samples).ravel()
            return self._one.noise_of(target, columns).reshape(-1, 1)

        def clone(self) -> "Inner":
            return Inner(self._reading)

    return Inner


def _unfit(node: str, found: str) -> UsageError:
    return UsageError(
        "model-unfit",
        f"Expected nodes that DoWhy can hold (tables, regressions, rules, what is set), found "
        f"{node!r}: {found}.",
        "Write rows with sample() instead, or a study without it.",
    )
