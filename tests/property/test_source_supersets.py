"""Supersets serve every clique once, and stay small."""

from itertools import pairwise
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from client.source.supersets import MAX_CELLS, supersets

NAMES = "abcdefgh"
SIZES = st.fixed_dictionaries({name: st.integers(2, 12) for name in NAMES})
CLIQUES = st.lists(st.sets(st.sampled_from(NAMES), max_size=4), max_size=12)


@settings(derandomize=True)
@given(sizes=SIZES, sets=CLIQUES, limit=st.integers(1, 5000))
def test_every_clique_is_served_once_by_a_superset_that_is_small_or_its_own(
    sizes: dict[str, int], sets: list[set[str]], limit: int
) -> None:
    cliques = [tuple(sorted(names)) for names in sets]
    found = supersets(cliques, sizes, limit)
    served = [clique for each in found.values() for clique in each]
    assert sorted(served) == sorted(clique for clique in cliques if clique)
    for superset, each in found.items():
        assert all(set(clique) <= set(superset) for clique in each)
        cells = prod(sizes[name] for name in superset)
        assert cells <= limit or superset == tuple(sorted(each[0]))


def test_a_chain_of_small_tables_takes_few_passes() -> None:
    names = [f"v{place:02}" for place in range(37)]
    chain = list(pairwise(names))
    found = supersets(chain, dict.fromkeys(names, 2))
    assert len(found) <= 5
    assert all(2 ** len(superset) <= MAX_CELLS for superset in found)
