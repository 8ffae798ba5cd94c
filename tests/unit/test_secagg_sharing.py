"""Shamir's scheme: the prime, the encoding, and every t of n."""

from itertools import combinations

import pytest

from protocol.identifiers import SiteId
from protocol.secagg.sharing import (
    PRIME,
    is_element,
    point,
    recover,
    split,
    weights_at_zero,
)

SECRET = bytes(range(32))


def is_probable_prime(number: int) -> bool:
    """Miller-Rabin to the first 40 bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 42):
        value = pow(base, odd, number)
        if value not in (1, number - 1) and not any(
            (value := value * value % number) == number - 1 for _ in range(twos - 1)
        ):
            return False
    return True


def test_the_modulus_is_the_smallest_prime_above_two_to_the_256() -> None:
    assert is_probable_prime(PRIME)
    assert not any(is_probable_prime(number) for number in range(2**256 + 1, PRIME))


@pytest.mark.parametrize(("t", "n"), [(1, 1), (1, 3), (2, 3), (3, 5), (5, 5)])
def test_any_t_of_n_recover_the_secret(t: int, n: int) -> None:
    points = [point(SiteId(site)) for site in range(n)]
    shares = split(SECRET, range(7, 7 + t - 1), points)
    for chosen in combinations(range(n), t):
        weights = weights_at_zero([points[place] for place in chosen])
        assert recover(weights, [shares[place] for place in chosen]) == b"\0" + SECRET


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_extreme_secrets_come_back(secret: bytes) -> None:
    shares = split(secret, [PRIME - 1, 1], [1, 2, 200])
    assert recover(weights_at_zero([1, 2, 200]), shares) == b"\0" + secret


def test_a_share_changed_recovers_something_else() -> None:
    first, *others = split(SECRET, [5], [1, 2])
    wrong = (int.from_bytes(first, "big") ^ 1).to_bytes(33, "big")
    assert recover(weights_at_zero([1, 2]), [wrong, *others]) != b"\0" + SECRET


def test_no_site_sits_where_the_secret_is() -> None:
    assert point(SiteId(0)) == 1


def test_weights_sum_to_one() -> None:
    assert sum(weights_at_zero([3, 1, 150, 7])) % PRIME == 1


@pytest.mark.parametrize(
    ("share", "answer"),
    [
        (bytes(33), True),
        ((PRIME - 1).to_bytes(33, "big"), True),
        (PRIME.to_bytes(33, "big"), False),
        (b"\xff" * 33, False),
        (bytes(32), False),
        (bytes(34), False),
    ],
)
def test_only_the_one_encoding_is_an_element(share: bytes, answer: bool) -> None:
    assert is_element(share) is answer
