"""The mask kernel: 1e6 elements, the masks of 49 neighbours, in GB of keystream a second.

The floor is the same AES-256-CTR keystream made and thrown away. The peer is the mask
generator of Flower's SecAgg+ (`pseudo_rand_gen`), which fills int64 arrays from a
Mersenne twister; its masks are only generated here, ours are also added up.
"""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from bench.harness import Measurement, interleaved
from protocol.secagg.masking import CHUNK_BYTES, MaskKeys, mask
from protocol.secagg.ring import Layout, zero

ELEMENTS = 1_000_000
NEIGHBOURS = 49
KEYS = tuple(bytes([number]) * 32 for number in range(NEIGHBOURS))
MODULI = {64: 2**63 - 1, 32: 2**32}  # the largest that SecAgg+ accepts; its default
OVER_FLOWER = {64: 2.5, 32: 5.0}
REPEATS = 5


def run() -> list[Measurement]:
    """Measure kernel, raw keystream and Flower's generator, interleaved, at both widths."""
    return [*_of_width(64), *_of_width(32)]


def _of_width(bits: int) -> list[Measurement]:
    vector = zero(Layout(ELEMENTS, 0 if bits == 64 else ELEMENTS))
    octets = vector.layout.octets
    half = NEIGHBOURS // 2
    keys = MaskKeys(KEYS[:half], KEYS[half:])
    kernel, raw, flower = interleaved(
        lambda: mask(vector, keys),
        lambda: _raw_keystream(octets),
        lambda: _flower(MODULI[bits]),
        repeats=REPEATS,
    )
    speed, bare, theirs = (octets * NEIGHBOURS / each / 1e9 for each in (kernel, raw, flower))
    name = f"masks of {bits} bits, over"
    return [
        _beside(f"{name} bare keystream", speed, "AES-CTR", bare, 0.75),
        _beside(f"{name} Flower's", speed, "SecAgg+", theirs, OVER_FLOWER[bits]),
    ]


def _beside(name: str, speed: float, peer: str, peer_speed: float, target: float) -> Measurement:
    return Measurement(name, speed, "GB/s", peer=peer, peer_value=peer_speed, target=target)


def _raw_keystream(octets: int) -> None:
    zeros, stream = memoryview(bytes(CHUNK_BYTES)), bytearray(CHUNK_BYTES + 15)
    for key in KEYS:
        fill = Cipher(AES256(key), CTR(bytes(16))).encryptor().update_into
        for start in range(0, octets, CHUNK_BYTES):
            fill(zeros[: octets - start], stream)


def _flower(modulus: int) -> None:
    for key in KEYS:
        pseudo_rand_gen(key, modulus, [(ELEMENTS,)])
