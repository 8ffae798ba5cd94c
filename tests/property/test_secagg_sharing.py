"""Any t shares recover the secret; t - 1 shares fit every secret equally."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.secagg.sharing import PRIME, recover, split, weights_at_zero

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
secrets = st.binary(min_size=32, max_size=32)
elements = st.integers(0, PRIME - 1)


@st.composite
def sharings(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw distinct points, and coefficients for a threshold of at most as many."""
    points = draw(st.lists(st.integers(1, 200), min_size=1, max_size=12, unique=True))
    count = draw(st.integers(0, len(points) - 1))
    return points, draw(st.lists(elements, min_size=count, max_size=count))


@EXAMPLES
@given(sharings(), secrets, st.randoms(use_true_random=False))
def test_any_threshold_of_shares_recovers_the_secret(
    sharing: tuple[list[int], list[int]], secret: bytes, chance: Random
) -> None:
    points, coefficients = sharing
    held = list(zip(points, split(secret, coefficients, points), strict=True))
    chosen = chance.sample(held, len(coefficients) + 1)
    weights = weights_at_zero([x for x, _ in chosen])
    assert recover(weights, [share for _, share in chosen]) == b"\0" + secret


def interpolated(points: list[tuple[int, int]]) -> list[int]:
    """Return the coefficients, ascending, of the polynomial through the points."""
    total = [0] * len(points)
    for x, y in points:
        basis, scale = [1], y
        for other, _ in points:
            if other != x:
                shifted = [0, *basis]
                basis = [
                    (up - other * here) % PRIME
                    for up, here in zip(shifted, [*basis, 0], strict=True)
                ]
                scale = scale * pow(x - other, -1, PRIME) % PRIME
        total = [(a + scale * b) % PRIME for a, b in zip(total, basis, strict=True)]
    return total


@EXAMPLES
@given(sharings(), secrets, secrets)
def test_one_share_too_few_fits_any_other_secret_in_exactly_one_way(
    sharing: tuple[list[int], list[int]], secret: bytes, other: bytes
) -> None:
    points, coefficients = sharing
    known = points[: len(coefficients)]
    shares = split(secret, coefficients, known)
    seen = [(x, int.from_bytes(share, "big")) for x, share in zip(known, shares, strict=True)]
    constant, *others = interpolated([(0, int.from_bytes(other, "big")), *seen])
    assert constant == int.from_bytes(other, "big")
    # t - 1 shares and a secret are t conditions on t coefficients: one polynomial, whatever
    # the secret, so uniform coefficients make every secret equally likely.
    assert split(other, others, known) == shares
    assert len(others) == len(coefficients)
