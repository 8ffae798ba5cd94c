"""One hash over a list of hashes, of which each can be shown to be in its place (SPEC 4.4).

Merkle, "A digital signature based on a conventional encryption function" (1987). Neighbours are
hashed together level by level; one without a neighbour goes up as it is. The length of the list
and the place in it are known to who checks, so a path has one length and one order.
"""

from collections.abc import Iterator, Sequence

from protocol.identifiers import MAX_SITES, Digest
from protocol.secagg.hashing import labelled_hash

MAX_PATH = (MAX_SITES - 1).bit_length()  # hashes on the way from a leaf of the longest list


def root_of(leaves: Sequence[Digest]) -> Digest:
    """Return the hash of a list."""
    if not leaves:  # a message can hold no pairs, though no round takes it
        return labelled_hash("leaves", b"")
    *_, (root,) = _levels(leaves)
    return root


def paths_of(leaves: Sequence[Digest]) -> list[tuple[Digest, ...]]:
    """Return for each place the hashes that lead from its leaf to the root."""
    levels = list(_levels(leaves))[:-1]
    return [
        tuple(
            level[(place >> height) ^ 1]
            for height, level in enumerate(levels)
            if (place >> height) ^ 1 < len(level)
        )
        for place in range(len(leaves))
    ]


def root_from(leaf: Digest, place: int, length: int, path: Sequence[Digest]) -> Digest | None:
    """Return the root of a list of `length` that has `leaf` in its `place`, by its path.

    None if the path is not as long as that place's. Precondition: 0 <= place < length.
    """
    left = iter(path)
    found = leaf
    while length > 1:
        if place ^ 1 < length:
            other = next(left, None)
            if other is None:
                return None
            found = _joined(other, found) if place & 1 else _joined(found, other)
        place, length = place >> 1, (length + 1) >> 1
    return found if next(left, None) is None else None


def _levels(leaves: Sequence[Digest]) -> Iterator[list[Digest]]:
    level = list(leaves)
    yield level
    while len(level) > 1:
        pairs = [_joined(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
        yield level


def _joined(left: Digest, right: Digest) -> Digest:
    return labelled_hash("leaves", left + right)
