"""Which nodes carry an effect through the mediators, and which past them.

Natural effects ask for E[Y(t, M(t'))]: what the mediators depend on sees the treatment t', what
else lies on the way to the outcome sees t. A node that would have to see both, since it leads
to a mediator and, past the mediators, to the outcome, is a recanting witness: then no data tell
what they are (Avin, Shpitser and Pearl 2005, theorem 5). Others call it a confounder of mediator
and outcome that the treatment induces.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import networkx as nx

from protocol.errors import UsageError
from protocol.study.problems import listed


@dataclass(frozen=True, slots=True)
class Carriers:
    """The nodes between treatment and outcome, the outcome among them, by the treatment they see.

    `mediated` lead to mediators, which are among them; `direct` do not. `witnesses` would have to
    see both.
    """

    mediated: frozenset[str]
    direct: frozenset[str]
    witnesses: tuple[str, ...]


def carriers_of(
    graph: "nx.DiGraph[str]", treated: Collection[str], outcome: str, mediators: Collection[str]
) -> Carriers:
    """Return what carries the effect of the treated nodes.

    Raises:
        UsageError: a mediator that is not on a path from the treatment to the outcome.
    """
    after = frozenset().union(*(nx.descendants(graph, node) for node in treated)) - set(treated)
    before = nx.ancestors(graph, outcome) | {outcome}
    for node in mediators:
        if node not in after & before or node == outcome:
            between = sorted(after & before - {outcome})
            raise UsageError(
                "not-a-mediator",
                f"Expected a mediator between {listed(treated)} and {outcome!r}, found {node!r}.",
                f"Choose among {listed(between)}." if between else "Nothing is between them.",
            )
    chosen = frozenset(mediators)
    leading = chosen.union(*(nx.ancestors(graph, node) for node in chosen)) & after
    past = graph.subgraph(set(graph) - chosen)
    straight = (nx.ancestors(past, outcome) | {outcome}) & after
    witnesses = (leading - chosen) & straight
    order = {node: at for at, node in enumerate(nx.topological_sort(graph))}
    return Carriers(leading, after - leading, tuple(sorted(witnesses, key=order.__getitem__)))


def check_natural(
    graph: "nx.DiGraph[str]",
    carriers: Carriers,
    treated: Sequence[str],
    outcome: str,
    mediators: Collection[str],
) -> None:
    """Check that natural effects can be told from data.

    Raises:
        UsageError: a recanting witness, with the two paths that meet in it.
    """
    if not carriers.witnesses:
        return
    witness = carriers.witnesses[0]
    source = next(node for node in treated if nx.has_path(graph, node, witness))
    target = next(node for node in mediators if nx.has_path(graph, witness, node))
    past = graph.subgraph(set(graph) - set(mediators))
    into = " -> ".join(nx.shortest_path(graph, source, witness))
    through = " -> ".join(nx.shortest_path(graph, witness, target))
    around = " -> ".join(nx.shortest_path(past, witness, outcome))
    raise UsageError(
        "exposure-induced-confounder",
        f"Expected mediators without a cause that the treatment changes and that also changes the "
        f"outcome past them, found {witness!r}: {into}, {through}, and {around}. Natural effects "
        "would need it to be two things at once, and no data tell them.",
        "Ask for kind='interventional', or take it among the mediators: "
        f"{listed([*mediators, witness])}.",
    )
