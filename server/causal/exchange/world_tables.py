"""The tables of a world: a network, where nothing else than tables is in it.

Nodes are parts of the world: of a model as it was fitted the nodes of the study, under a policy
that reads the natural value of the node that it sets also that (`worlds/part.py`). A time to an
event is its interval, or none; when observation ends is left out.
"""

from types import MappingProxyType

from protocol.errors import UsageError
from protocol.study.problems import listed
from server.causal.exchange.network import Network, Table
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.part import Part, certain
from server.causal.worlds.world import World


def network_of_world(world: World, what: str) -> Network:
    """Return the tables of a world at its point estimate, for `what` that holds nothing else.

    Raises:
        UsageError: some nodes are no tables; they are named with their kinds.
    """
    tables = {part.name: _table(world, part) for part in world.parts}
    found = {name: table for name, table in tables.items() if table is not None}
    check_all(world, {name for name in tables if name not in found}, what)
    labels = {part.name: world.study.model_labels(part.node) for part in world.parts}
    parents = {part.name: part.parents if found[part.name].ndim > 1 else () for part in world.parts}
    return Network(MappingProxyType(labels), MappingProxyType(parents), MappingProxyType(found))


def _table(world: World, part: Part) -> Table | None:
    setting, mechanism = part.setting, part.mechanism
    if isinstance(setting, Assignment):
        return certain(len(world.study.model_labels(part.node)), setting.code)
    if part.table is None and setting is None and isinstance(mechanism, TableMechanism):
        return mechanism.table
    return part.table


def check_all(world: World, strangers: set[str], what: str) -> None:
    """Refuse nodes that `what` cannot hold.

    Raises:
        UsageError: there are some.
    """
    if not strangers:
        return
    shown = [
        f"{part.name} ({kind_of(world, part)})" for part in world.parts if part.name in strangers
    ]
    raise UsageError(
        "not-convertible",
        f"Expected a model that {what} can hold, found {listed(shown)}.",
        "Sample from the model here, or declare these variables in bins with tables.",
    )


def kind_of(world: World, part: Part) -> str:
    """Return what a part is computed or drawn by, for people."""
    if part.setting is None:
        return world.study.mechanism_of(part.node)
    return "a policy" if not isinstance(part.setting, Assignment) else "set"
