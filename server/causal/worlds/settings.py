"""What a node of a world is set to, once names and values have been checked against the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from protocol.canonical import Json
from server.causal.sampling.nodes import Function
from server.causal.worlds.assignment import Assignment


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """A function of other nodes, row by row, and how a reader may check which it was.

    `reads` has a node of the study per name that the function uses. The node that is set stands
    for its own natural value: what it would have been without being set.
    """

    function: Function
    reads: Mapping[str, str]
    document: Mapping[str, Json]
    path: str = ""  # of the file that the function stands in


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Set to what a law says: a policy."""

    law: Law


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Set by lot: each of some codes, rising, with a weight that a law says."""

    weights: Mapping[int, Law]
    document: Mapping[str, Json]


Setting: TypeAlias = Assignment | Computed | Drawn


def reads_of(setting: Setting) -> tuple[str, ...]:
    """Return the nodes that a setting depends on, each once."""
    match setting:
        case Computed(law):
            laws = [law]
        case Drawn(weights):
            laws = list(weights.values())
        case _:
            laws = []
    return tuple(dict.fromkeys(node for law in laws for node in law.reads.values()))
