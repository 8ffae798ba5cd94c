"""The sampler decides as exact arithmetic does, draws all its bits, and draws them once."""

import ast
import inspect
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from client.gate.opening import open_gate
from client.measure import noise
from protocol.privacy import discrete_gaussian
from protocol.privacy.discrete_gaussian import Entropy, exp_bounds, sample

GAMMAS = [
    *(Fraction(1, 10**12), Fraction(1, 7), Fraction(1), Fraction(22, 7), Fraction(10)),
    *(Fraction(40), Fraction(44), Fraction(60), Fraction(800), Fraction(2**40 + 1, 2**40)),
]


class Stream:
    """Random bytes that can be told again, and counted."""

    def __init__(self, seed: int, first: bytes = b"") -> None:
        self._source = np.random.default_rng(seed)
        self._first = first
        self.taken = 0

    def __call__(self, count: int) -> bytes:
        self.taken += count
        given, self._first = self._first[:count], self._first[count:]
        return given + self._source.bytes(count - len(given))


def of_bits(*words: int) -> Entropy:
    """Return entropy that yields exactly these 64-bit numbers, eight bytes at a time."""
    left: Iterator[int] = iter(words)
    return lambda count: next(left).to_bytes(count, "big")


def floor_of(gamma: Fraction) -> int:
    """Return floor(2^64 exp(-gamma))."""
    low, high = (int(2**64 * bound) for bound in exp_bounds(gamma, 400))
    assert low == high
    return low


@pytest.mark.parametrize("gamma", GAMMAS, ids=str)
@pytest.mark.parametrize("digits", [10, 40, 100])
def test_bounds_of_exp_enclose_it_and_close_in(gamma: Fraction, digits: int) -> None:
    low, high = exp_bounds(gamma, digits)
    closer = exp_bounds(gamma, 2 * digits + 20)
    assert low < closer[0] < closer[1] < high
    assert high - low <= Fraction(10) ** (3 - digits) * high
    assert math.exp(-gamma) == pytest.approx(float(low), rel=1e-8, abs=1e-300)


def test_exp_of_nothing_is_one() -> None:
    assert exp_bounds(Fraction(0), 40) == (Fraction(1), Fraction(1))


@pytest.mark.parametrize("gamma", GAMMAS, ids=str)
def test_a_float_decides_only_what_exact_arithmetic_decides_the_same(gamma: Fraction) -> None:
    edge = floor_of(gamma)
    offsets = [0, 1, 2, 3, *(2**power for power in range(2, 63, 3))]
    near = {edge + sign * offset for offset in offsets for sign in (1, -1)}
    near |= {int(edge * (1 + sign * 2.0**-power)) for power in range(28, 60) for sign in (1, -1)}
    words = [word for word in sorted(near) if 0 <= word < 2**64]
    below, unclear = discrete_gaussian._decide(
        np.array(words, np.uint64), np.full(len(words), float(gamma))
    )
    for word, said, open_ in zip(words, below, unclear, strict=True):
        if not open_:
            assert said == (word < edge)
            assert word != edge
    assert unclear[words.index(edge)]


def test_floats_decide_nearly_everything() -> None:
    words = np.random.default_rng(1).integers(0, 2**64, 1_000_000, np.uint64)
    gamma = np.random.default_rng(2).uniform(0, 5, words.size)
    assert not discrete_gaussian._decide(words, gamma)[1].any()


@pytest.mark.parametrize("gamma", GAMMAS, ids=str)
def test_what_64_bits_leave_open_the_next_bits_decide(gamma: Fraction) -> None:
    edge = floor_of(gamma)
    exact = exp_bounds(gamma, 400)[0] * 2**64 - edge  # where in the open interval p lies
    following = int(exact * 2**64)
    for word, expected in ((following - 1, True), (following + 1, False)):
        if 0 <= word < 2**64:
            real = discrete_gaussian._LazyUniform(edge, of_bits(word))
            assert real.is_below_exp(gamma) == expected
    deeper = int((exact * 2**64 - following) * 2**64)
    zeros = [0] * 20  # exp(-800) begins with 1154 of them
    further = of_bits(following, max(deeper - 1, 0), *zeros)
    assert discrete_gaussian._LazyUniform(edge, further).is_below_exp(gamma)


def test_an_open_decision_reaches_the_exact_gamma_of_its_place() -> None:
    gamma = Fraction(1, 3)
    asked = []

    def exact(at: int) -> Fraction:
        asked.append(at)
        return gamma

    words = np.array([floor_of(gamma)] * 2 + [0], np.uint64).tobytes()
    stream = Stream(1, words + bytes(8) + b"\xff" * 8)
    found = discrete_gaussian._bernoulli_exp(np.full(3, 1 / 3), exact, stream)
    assert asked == [0, 1]
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("power", [1, 2, 10, 43, 44])
def test_runs_of_successes_end_where_the_power_of_e_says(power: int) -> None:
    edge = floor_of(Fraction(power))
    words = np.array([edge - 1, edge + 1], np.uint64).tobytes()
    counts = discrete_gaussian._successes(2, Stream(1, words))
    assert counts[0] == power if edge > 1 else counts[0] >= power
    assert counts[1] < power
    open_one = discrete_gaussian._successes(1, Stream(1, edge.to_bytes(8, "little") + bytes(8)))
    assert open_one[0] >= power
    other = discrete_gaussian._successes(1, Stream(1, edge.to_bytes(8, "little") + b"\xff" * 8))
    assert other[0] == power - 1


def test_a_real_below_all_64_bits_may_succeed_more_than_44_times() -> None:
    assert discrete_gaussian._successes(1, Stream(1, bytes(16)))[0] > 60


@pytest.mark.parametrize("bound", [2, 3, 4, 5, 255, 256, 257, 2**37])
def test_a_remainder_is_below_its_bound_and_reaches_all_of_it(bound: int) -> None:
    drawn = discrete_gaussian._uniform(bound, 20_000, Stream(3))
    assert drawn.min() >= 0
    assert bound * 0.999 - 1 <= drawn.max() < bound
    if bound <= 257:
        assert np.unique(drawn).size == bound


@pytest.mark.parametrize("count", [0, 1, 7, 1000, discrete_gaussian._BATCH + 1])
def test_as_many_draws_come_as_are_asked_for(count: int) -> None:
    drawn = sample(Fraction(7, 2), count, Stream(4))
    assert drawn.shape == (count,)
    assert drawn.dtype == np.int64


@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(2**37), Fraction(10, 3), Fraction(2**17 + 1, 2**17)], ids=str
)
def test_a_scale_that_no_plan_has_is_refused(scale: Fraction) -> None:
    with pytest.raises(ValueError, match=r"2\^-16"):
        sample(scale, 1, os.urandom)


def test_all_randomness_is_the_argument() -> None:
    first, second, third = Stream(5), Stream(5), Stream(6)
    drawn = [sample(Fraction(100), 5000, stream) for stream in (first, second, third)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    # Six or more bytes a draw: log2(100 sqrt(2 pi e)) = 8.7 bits is the entropy of what came out.
    assert first.taken == second.taken > 6 * 5000


def test_no_other_source_of_randomness_is_in_reach() -> None:
    for module in (discrete_gaussian, noise):
        tree = ast.parse(Path(inspect.getfile(module)).read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not {"random", "default_rng", "Generator", "secrets"} & (names | imported)


def test_a_site_draws_from_the_operating_system() -> None:
    default = inspect.signature(noise.add_noise).parameters["entropy"].default
    assert default is os.urandom
    assert "add_noise, os.urandom" in inspect.getsource(open_gate)
