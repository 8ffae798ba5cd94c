"""From a model and interventions to a world: which parts there are, and in which order."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import networkx as nx

from protocol.errors import UsageError
from protocol.graphs.fixing import natural_readers
from protocol.study.study import Study
from protocol.study.variables import Survival
from server.causal.mechanisms.mechanism import Mechanism, Placement
from server.causal.worlds.part import ASSIGNED, NATURAL, Part
from server.causal.worlds.settings import Drawn, Setting, reads_of
from server.causal.worlds.tabulation import tabulated
from server.causal.worlds.world import World

Settings = Mapping[str, Setting]  # by the node that is set


def assemble(
    study: Study,
    mechanisms: Mapping[str, Mechanism],
    placements: Mapping[str, Placement],
    settings: Settings,
    draws: int,
) -> World:
    """Return the world of a model's mechanisms in which some nodes are set.

    `mechanisms` may hold the first nodes of the graph alone.

    Raises:
        UsageError: a policy reads what its node causes, or has no result.
    """
    parts: list[Part] = []
    readers = _natural_readers(study, settings)
    natural = {node for node, setting in settings.items() if node in reads_of(setting)}
    natural |= {node for node, others in readers.items() if others}
    for node in study.causal_graph.nodes:
        if node not in mechanisms:
            continue
        reads = tuple(
            read + NATURAL if node in readers.get(read, ()) else read
            for read in mechanisms[node].parents
        )
        own = Part(node, node, node, mechanisms[node], reads)
        if node not in settings:
            parts.append(own)
            continue
        if node in natural:
            parts.append(replace(own, name=node + NATURAL))
        parts.append(_set(study, own, settings[node], split=node in natural))
    return World(study, placements, draws, finished(study, parts))


def _natural_readers(study: Study, settings: Settings) -> Mapping[str, frozenset[str]]:
    """Return per node that is set those that read what it would have been (SPEC 11.12)."""
    if not study.mixed_graph.pairs:
        return {}
    return natural_readers(study.mixed_graph, tuple(settings))


def _set(study: Study, own: Part, setting: Setting, *, split: bool) -> Part:
    """Return a part as it is set; `split` says that its natural value is a part beside it.

    Where both are drawn, or a lottery draws it, it has noise of its own.
    """
    node = own.node
    if isinstance(study.variable(node), Survival):  # the parents say when observation ends
        return replace(own, setting=setting)
    return replace(
        own,
        stream=node + ASSIGNED if split or isinstance(setting, Drawn) else node,
        parents=tuple(read + NATURAL if read == node else read for read in reads_of(setting)),
        setting=setting,
    )


def finished(study: Study, parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return parts in topological order, those that follow from codes alone with their tables.

    Parts that are not ordered stand as the nodes of the study do, natural values first.

    Raises:
        UsageError: parts depend on one another in a circle; only policies can bring that about.
    """
    by_name = {part.name: part for part in parts}
    rank = {node: at for at, node in enumerate(study.causal_graph.nodes)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(by_name)
    graph.add_edges_from(
        (parent, part.name) for part in by_name.values() for parent in part.parents
    )
    try:
        order = list(
            nx.lexicographical_topological_sort(
                graph, key=lambda name: (rank[by_name[name].node], name == by_name[name].node, name)
            )
        )
    except nx.NetworkXUnfeasible:
        raise _cyclic(graph, by_name) from None
    return tuple(replace(by_name[name], table=tabulated(study, by_name[name])) for name in order)


def _cyclic(graph: "nx.DiGraph[str]", parts: Mapping[str, Part]) -> UsageError:
    circle = [cause for cause, _ in nx.find_cycle(graph)]
    nodes = dict.fromkeys(parts[name].node for name in circle)  # a natural value is no node
    shown = " -> ".join([*nodes, next(iter(nodes))])
    policies = [parts[name].node for name in circle if parts[name].setting is not None]
    return UsageError(
        "cyclic-policy",
        f"Expected a policy that reads nothing that its node causes, found the circle {shown}.",
        f"Let the policy of {policies[0]!r} read causes of it, or what was known before.",
    )
