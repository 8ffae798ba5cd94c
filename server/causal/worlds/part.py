"""Parts of a world: a node of the study's graph with its mechanism, or with what it is set to."""

from dataclasses import dataclass, field

import numpy as np

from server.causal.mechanisms.mechanism import Mechanism, Table
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.settings import Setting, reads_of

NATURAL, ASSIGNED = "/natural", "/assigned"  # no name of a variable has a slash


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One node of a world.

    `parents` are parts, in the order of the mechanism's parents, or of `reads_of(setting)`.
    `table` is P(part | parents) of a part without parameters that depends on codes alone and has
    no values: of a rule, a policy or a lottery.
    """

    name: str
    node: str  # of the study's graph
    stream: str  # label of its noise
    mechanism: Mechanism
    parents: tuple[str, ...]
    setting: Setting | None = None
    table: Table | None = field(default=None, repr=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the nodes that `parents` are parts of, in their order."""
        if self.setting is None or isinstance(self.setting, Assignment):
            return self.mechanism.parents  # of a time to an event they say when observation ends
        return reads_of(self.setting)

    def is_like(self, other: "Part") -> bool:
        """Return whether two parts give the same rows if their parents do."""
        return (
            (self.node, self.stream, self.parents) == (other.node, other.stream, other.parents)
            and self.mechanism is other.mechanism
            and _same_setting(self.setting, other.setting)
        )


def _same_setting(one: Setting | None, other: Setting | None) -> bool:
    if isinstance(one, Assignment) and isinstance(other, Assignment):
        return one == other
    return one is other


def certain(size: int, code: int) -> Table:
    """Return the distribution of a node that has one code for sure."""
    found = np.zeros(size)
    found[code] = 1.0
    return found
