"""The mask kernel: 1e6 residues of 64 bits with eight neighbours, in GB of keystream a second.

The floor is the same AES-256-CTR keystream made and thrown away. The peer is the mask
generator of Flower's SecAgg+ (`pseudo_rand_gen`), which fills int64 arrays from a
Mersenne twister; its masks are only generated here, ours are also added up.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from bench.harness import Measurement, interleaved
from protocol.secagg.masking import CHUNK_BYTES, MaskKeys, mask
from protocol.secagg.ring import ELEMENT_BYTES

ELEMENTS = 1_000_000
NEIGHBOURS = 8
KEYSTREAM_BYTES = ELEMENTS * ELEMENT_BYTES * NEIGHBOURS
KEYS = tuple(bytes([number]) * 32 for number in range(NEIGHBOURS))
FLOWER_DEFAULT, FLOWER_WIDEST = 2**32, 2**63 - 1  # modulus of SecAgg+; largest it accepts
REPEATS = 9


def run() -> list[Measurement]:
    """Measure kernel, raw keystream and Flower's generator, interleaved."""
    vector = np.zeros(ELEMENTS, np.uint64)
    half = NEIGHBOURS // 2
    keys = MaskKeys(KEYS[:half], KEYS[half:])
    kernel, raw, wide, narrow = interleaved(
        lambda: mask(vector, keys),
        _raw_keystream,
        lambda: _flower(FLOWER_WIDEST),
        lambda: _flower(FLOWER_DEFAULT),
        repeats=REPEATS,
    )
    return [
        _measurement("masks, over bare keystream", kernel, "raw AES-256-CTR", raw, 0.7),
        _measurement(
            "masks, over Flower at this width", kernel, "Flower SecAgg+, 63 bits", wide, 2.5
        ),
        _measurement(
            "masks, over Flower at its own width", kernel, "Flower SecAgg+, 32 bits", narrow, None
        ),
    ]


def _measurement(
    name: str, seconds: float, peer: str, peer_seconds: float, target: float | None
) -> Measurement:
    return Measurement(
        name,
        KEYSTREAM_BYTES / seconds / 1e9,
        "GB/s",
        peer=peer,
        peer_value=KEYSTREAM_BYTES / peer_seconds / 1e9,
        target=target,
    )


def _raw_keystream() -> None:
    zeros, stream = memoryview(bytes(CHUNK_BYTES)), bytearray(CHUNK_BYTES + 15)
    for key in KEYS:
        fill = Cipher(AES256(key), CTR(bytes(16))).encryptor().update_into
        for start in range(0, ELEMENTS * ELEMENT_BYTES, CHUNK_BYTES):
            fill(zeros[: ELEMENTS * ELEMENT_BYTES - start], stream)


def _flower(modulus: int) -> None:
    for key in KEYS:
        pseudo_rand_gen(key, modulus, [(ELEMENTS,)])
