"""Few groupings that serve many tables: cliques merged while their joint table stays small.

One pass over the records for each superset, in place of one for each clique; the tables of the
cliques are sums over its groups. Greedy: the largest clique first, each into the superset that
grows least. Pure.
"""

from collections.abc import Mapping, Sequence
from math import prod

from protocol.study.graph import Clique

MAX_CELLS = 4096  # more groups take longer to sum than another pass over the records


def supersets(
    cliques: Sequence[Clique], sizes: Mapping[str, int], max_cells: int = MAX_CELLS
) -> dict[Clique, tuple[Clique, ...]]:
    """Return supersets of all cliques but (), each with those that it serves.

    A clique with more than `max_cells` cells is a superset of its own.
    """

    def cells(names: set[str]) -> int:
        return prod(sizes[name] for name in names)

    merged: list[tuple[set[str], list[Clique]]] = []
    for clique in sorted(filter(None, cliques), key=lambda one: (-cells(set(one)), one)):
        wanted = set(clique)
        grown = [(cells(names | wanted), place) for place, (names, _) in enumerate(merged)]
        fitting = [
            (size / cells(merged[place][0]), place)
            for size, place in grown
            if size <= max_cells or wanted <= merged[place][0]
        ]
        if fitting:
            _, place = min(fitting)
            merged[place][0].update(wanted)
            merged[place][1].append(clique)
        else:
            merged.append((wanted, [clique]))
    return {tuple(sorted(names)): tuple(served) for names, served in merged}
