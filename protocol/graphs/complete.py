"""Whether an effect is identified at all, by any formula of the distribution of measured nodes.

Tian and Pearl (2002), shown to be complete by Huang and Valtorta (2006) and Shpitser and Pearl
(2006). Let D be the causes of the outcome where treated nodes are taken out. Then
P(outcome | do(treated)) is identified if and only if every district of the graph of D alone follows
from the district of the whole graph that it lies in: by turns of leaving out what does not cause
it, and taking the district of what is left.
"""

from collections.abc import Collection

from protocol.graphs.mixed import MixedGraph


def is_identified(graph: MixedGraph, treated: Collection[str], outcome: str) -> bool:
    """Return whether the effect of setting some nodes on another has a formula.

    Precondition: the outcome is not among the treated.
    """
    rest = graph.within(frozenset(graph.nodes).difference(treated))
    part = rest.within(rest.causes_of([outcome]))
    return all(_is_found(graph, district) for district in part.districts())


def _is_found(graph: MixedGraph, wanted: frozenset[str]) -> bool:
    """Return whether the kernel of `wanted`, a set joined by pairs, follows from P(graph)."""
    within = frozenset(graph.nodes)
    while True:
        district = graph.within(within).district(min(wanted))
        within = graph.within(district).causes_of(wanted)
        if within in (wanted, district):
            return within == wanted
