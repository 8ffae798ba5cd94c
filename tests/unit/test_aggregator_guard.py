"""What CrypTen does by default, and that none of it is left where secrets are.

`install` changes CrypTen for the whole process, so what shows CrypTen as it comes runs in another.
"""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from server.aggregator import crypten_guard
from server.aggregator.crypten_guard import CPU, Keystream, random_bits, ring_elements, shared

crypten = import_module("crypten")  # the guard has to be first
ArithmeticSharedTensor = import_module("crypten.mpc.primitives").ArithmeticSharedTensor

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))


def run(program: str) -> str:
    """Return what a program prints that has CrypTen to itself."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_shares_enter_bit_for_bit() -> None:
    extremes = np.array([16777217, 2**62, -(2**63), 2**63 - 1, -1, 0], np.int64)
    tensor = shared(extremes)
    assert tensor.share.tolist() == extremes.tolist()
    assert tensor.share.dtype == torch.int64
    assert tensor.encoder.scale == 1


def test_crypten_itself_rounds_integers_through_float32() -> None:
    """Why shares enter by `shared` alone."""
    found = run(
        "import server.aggregator.crypten_guard, crypten, torch\n"
        "crypten.init_thread(0, 1)\n"
        "print(int(crypten.cryptensor(torch.tensor([16777217])).get_plain_text()))"
    )
    assert found == "16777216"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint64, np.int32])
def test_what_is_no_64_bit_integer_is_no_share(dtype: type[np.generic]) -> None:
    with pytest.raises(TypeError, match="64-bit integers"):
        shared(np.zeros(1, dtype))


def test_a_keystream_is_aes_in_counter_mode() -> None:
    words = Keystream(KEY).words(3)
    again = Keystream(KEY)
    assert words.tolist() == [*again.words(1).tolist(), *again.words(2).tolist()]
    assert words.tolist() != Keystream(bytes(32)).words(3).tolist()


def test_elements_and_bits_come_from_the_keystream_in_their_shape() -> None:
    words = Keystream(KEY).words(6)
    assert ring_elements((2, 3), generator=Keystream(KEY)).flatten().tolist() == words.tolist()
    bits = random_bits(6, bitlength=3, generator=Keystream(KEY))
    assert bits.tolist() == [word & 7 for word in words.tolist()]
    assert random_bits(6, generator=Keystream(KEY)).tolist() == words.tolist()


def test_a_generator_that_can_be_predicted_is_refused() -> None:
    for draw in (ring_elements, random_bits):
        with pytest.raises(PermissionError, match="predicted"):
            draw(4, generator=torch.Generator())
    with pytest.raises(ValueError, match="ring"):
        ring_elements(4, ring_size=2**32, generator=Keystream(KEY))


def test_every_module_of_crypten_that_draws_has_the_replacement() -> None:
    crypten_guard.install()
    sources = Path(str(crypten.__file__)).parent.rglob("*.py")
    drawing = [
        path
        for path in sources
        if "import generate_" in path.read_text(encoding="utf-8")
        or "def generate_random_ring_element" in path.read_text(encoding="utf-8")
    ]
    assert len(drawing) == len(crypten_guard._DRAWING)
    for name in crypten_guard._DRAWING:
        module = sys.modules[name]
        for drawn, ours in (
            ("generate_random_ring_element", ring_elements),
            ("generate_kbit_random_tensor", random_bits),
        ):
            assert getattr(module, drawn, ours) is ours, name


def test_sharings_of_zero_come_from_keystreams() -> None:
    crypten_guard.install()
    crypten_guard.seed_generators({"prev": KEY, "next": bytes(32)})
    found = ArithmeticSharedTensor.PRZS((4,)).share
    assert found.tolist() == (Keystream(KEY).words(4) - Keystream(bytes(32)).words(4)).tolist()
    assert set(crypten.generators["prev"]) == {CPU}


def test_the_first_party_is_not_trusted_with_triples() -> None:
    program = (
        "from server.aggregator.crypten_guard import install, crypten\n"
        "install({})\n"
        "crypten.cfg.mpc.provider = 'TFP'\n"
        "provider = crypten.mpc.get_default_provider()\n"
        "try:\n"
        "    print(provider.generate_additive_triple.__name__)\n"
        "except PermissionError as error:\n"
        "    print(error)"
    )
    assert "--insecure-simulation" in run(program.format(""))
    assert run(program.format("insecure_simulation=True")) == "generate_additive_triple"
    chosen = "from server.aggregator.crypten_guard import install, crypten\ninstall()\n"
    assert run(f"{chosen}print(crypten.cfg.mpc.provider)") == "TTP"


def test_crypten_itself_draws_words_that_312_of_them_give_away() -> None:
    """Why its generators are replaced: the state of a Mersenne twister is read off its output."""
    found = run(PREDICTION)
    assert found == "1.0"


PREDICTION = """
import random, torch
import server.aggregator.crypten_guard
from crypten.common.rng import generate_random_ring_element

def untemper(y):
    y ^= y >> 18
    y ^= (y << 15) & 0xEFC60000
    t = y
    for _ in range(7):
        t = y ^ ((t << 7) & 0x9D2C5680)
    y = t
    for _ in range(3):
        t = y ^ (t >> 11)
    return t & 0xFFFFFFFF

generator = torch.Generator().manual_seed(random.SystemRandom().getrandbits(62))
drawn = generate_random_ring_element(torch.Size([2000]), generator=generator)
words = [int(word) + 2**63 for word in drawn]
halves = [untemper(half) for word in words[:312] for half in (word >> 32, word & 0xFFFFFFFF)]
best = 0.0
for swap in (False, True):
    state = [halves[i ^ 1] for i in range(624)] if swap else halves
    twister = random.Random()
    twister.setstate((3, (*state, 624), None))
    guessed = []
    for _ in words[312:]:
        first, second = twister.getrandbits(32), twister.getrandbits(32)
        word = (second << 32 | first) if swap else (first << 32 | second)
        guessed.append(word % (2**64 - 1))
    best = max(best, sum(a == b for a, b in zip(guessed, words[312:])) / len(guessed))
print(best)
"""
