"""All minimal sets of some kind, from a way to find one that lacks given nodes.

A minimal set other than S lacks a node of S; so the search goes on, for every node of S, without
it (Lawler 1972). What is found first is what the way to find one prefers.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

NodeSet: TypeAlias = frozenset[str]

# Returns a minimal set without the nodes given, None if there is none.
Finder: TypeAlias = Callable[[NodeSet], NodeSet | None]

MOST_SETS = 8  # that anybody reads
_SEARCHES_PER_SET = 16


def minimal_sets(find: Finder, most: int = MOST_SETS) -> tuple[tuple[str, ...], ...]:
    """Return minimal sets, the smallest first: all of them if they are fewer than `most`.

    Of more, or where the search for another one takes long, those that are found first.
    """
    found: dict[NodeSet, None] = {}
    waiting: list[NodeSet] = [frozenset()]
    for tried, without in enumerate(waiting):  # grows on the way
        if len(found) >= most or tried > most * _SEARCHES_PER_SET:
            break
        one = find(without)
        if one is not None:
            found[one] = None
            waiting += [each for each in _smaller(without, one) if each not in waiting]
    return tuple(sorted((tuple(sorted(one)) for one in found), key=lambda one: (len(one), one)))


def _smaller(without: NodeSet, one: Collection[str]) -> list[NodeSet]:
    return [without | {node} for node in sorted(one)]
