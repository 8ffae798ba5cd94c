"""The one source of randomness of every simulated world: counter-based streams of words.

The stream of a label is numpy's Philox4x64-10 (Salmon et al. 2011) with key
(seed, first 8 bytes of SHA-256(label) as a little-endian integer). A block is 32 bytes: 8 words
of 32 bits, or 4 of 64, little-endian. Block b is what `numpy.random.Philox(key=..., counter=b)`
yields first (numpy adds 1 to the counter before it encrypts). A value depends on seed, label and
row alone, so that no chunking, prefix, process or set of other nodes can change it.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from protocol.errors import UsageError

Words32 = NDArray[np.uint32]  # shape (rows,)
Fractions = NDArray[np.float64]  # shape (rows,), in [0, 1)

ROWS_PER_BLOCK = 8  # of 32-bit words; streams start at a multiple of it
_WORDS64_PER_BLOCK = 4
_LARGEST_SEED = 2**64 - 1


def check_seed(seed: int) -> None:
    """Raise UsageError unless `seed` fits the 64 bits that the key has for it."""
    if not 0 <= seed <= _LARGEST_SEED:
        raise UsageError(
            "seed-out-of-range",
            f"Expected a seed from 0 to 2^64 - 1, found {seed}.",
            "Choose a non-negative integer.",
        )


class Words:
    """The 32-bit words of one label, row after row; one word a row."""

    def __init__(self, seed: int, label: str, first_row: int) -> None:
        """Start at `first_row`, a multiple of ROWS_PER_BLOCK."""
        self._philox = _stream(seed, label, first_row // ROWS_PER_BLOCK)

    def take(self, rows: int) -> Words32:
        """Return the words of the next `rows` rows.

        All calls but the last take a multiple of ROWS_PER_BLOCK, so that no half block is lost.
        """
        raw = self._philox.random_raw((rows + 1) // 2)
        words: Words32 = raw.astype("<u8", copy=False).view("<u4")[:rows]
        return words


def fractions(seed: int, label: str, first_row: int, rows: int) -> Fractions:
    """Return one multiple of 2^-53 in [0, 1) a row: the upper 53 bits of 64-bit words."""
    skipped = first_row % _WORDS64_PER_BLOCK
    philox = _stream(seed, label, first_row // _WORDS64_PER_BLOCK)
    raw = philox.random_raw(skipped + rows)[skipped:]
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=2**14)
def key_of(label: str) -> int:
    """Return the second word of the key of a label's stream; the first is the seed."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little")


def _stream(seed: int, label: str, block: int) -> Philox:
    key = np.array([seed, key_of(label)], dtype=np.uint64)
    return Philox(key=key, counter=np.array([block, 0, 0, 0], dtype=np.uint64))
