"""Paths to one hash over many: all of them lead there, and nothing else does."""

import pytest

from protocol.identifiers import MAX_SITES, Digest
from protocol.secagg.hashing import labelled_hash
from protocol.secagg.merkle import MAX_PATH, paths_of, root_from, root_of

LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 50, 199, 200]


def leaves(count: int) -> list[Digest]:
    return [labelled_hash("sealed-pair", bytes([place])) for place in range(count)]


@pytest.mark.parametrize("count", LENGTHS)
def test_every_path_leads_to_the_root(count: int) -> None:
    given = leaves(count)
    paths, root = paths_of(given), root_of(given)
    assert len(paths) == count
    for place, path in enumerate(paths):
        assert len(path) <= MAX_PATH
        assert root_from(given[place], place, count, path) == root


def test_three_leaves_by_hand() -> None:
    a, b, c = leaves(3)
    below = labelled_hash("leaves", a + b)
    assert root_of([a, b, c]) == labelled_hash("leaves", below + c)
    assert paths_of([a, b, c]) == [(b, c), (a, c), (below,)]
    assert root_of([a]) == a


@pytest.mark.parametrize("count", LENGTHS[1:9])
def test_a_leaf_in_another_place_does_not_lead_there(count: int) -> None:
    given = leaves(count)
    paths, root = paths_of(given), root_of(given)
    for place in range(count):
        for other in range(count):
            if place != other:
                assert root_from(given[place], other, count, paths[other]) != root
                assert root_from(given[place], other, count, paths[place]) != root


@pytest.mark.parametrize("count", LENGTHS[1:9])
def test_a_path_of_another_length_leads_nowhere(count: int) -> None:
    given = leaves(count)
    for place, path in enumerate(paths_of(given)):
        assert root_from(given[place], place, count, path[1:]) is None
        assert root_from(given[place], place, count, (*path, given[0])) is None


def test_any_change_of_a_path_leads_elsewhere() -> None:
    given = leaves(7)
    root = root_of(given)
    for place, path in enumerate(paths_of(given)):
        for at in range(len(path)):
            changed = (*path[:at], Digest(bytes(32)), *path[at + 1 :])
            assert root_from(given[place], place, 7, changed) != root


def test_lists_of_different_lengths_have_different_roots() -> None:
    assert len({root_of(leaves(count)) for count in range(1, 65)}) == 64
    assert MAX_SITES <= 2**MAX_PATH
