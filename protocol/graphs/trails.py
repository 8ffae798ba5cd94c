"""Paths through a graph as people read them: `a <- u -> y`, from one name to another."""

from itertools import pairwise
from typing import TypeAlias

Trail: TypeAlias = tuple[str, ...]  # names and arrows in turn: ("a", "<-", "u", "->", "y")

FORWARD, BACKWARD, BOTH = "->", "<-", "<->"

_TURNED = {FORWARD: BACKWARD, BACKWARD: FORWARD, BOTH: BOTH}


def turned(trail: Trail) -> Trail:
    """Return the same path, read from its other end."""
    return tuple(_TURNED.get(part, part) for part in reversed(trail))


def joined(*trails: Trail) -> Trail:
    """Return paths one after another; each begins where the one before it ends."""
    first, *others = trails
    return (*first, *(part for trail in others for part in trail[1:]))


def written(trail: Trail) -> str:
    """Return a path as text."""
    return " ".join(trail)


def has_collider(trail: Trail) -> bool:
    """Return whether two arrowheads of a path meet at a node, which blocks it unless known."""
    return any(
        before in (FORWARD, BOTH) and after in (BACKWARD, BOTH)
        for before, after in pairwise(trail[1::2])
    )
