"""Write tests/vectors/sampling_1.json: the sampler's noise and codes, from the specification.

Philox4x64-10 is written out here in plain integers (Salmon, Moraes, Dror, Shaw 2011, and its
constants), so that the vectors do not depend on numpy.

Run: python -m tests.vectors.sampling_generate
"""

import hashlib
import json
from pathlib import Path
from typing import Any

MASK = 2**64 - 1
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
FILE = Path(__file__).parent / "sampling_1.json"


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Return the four 64-bit words of one block."""
    x = [counter & MASK, (counter >> 64) & MASK, 0, 0]
    low, high = key
    for _ in range(10):
        first, second = MULTIPLIERS[0] * x[0], MULTIPLIERS[1] * x[2]
        x = [
            (second >> 64) ^ x[1] ^ low,
            second & MASK,
            (first >> 64) ^ x[3] ^ high,
            first & MASK,
        ]
        low, high = (low + WEYL[0]) & MASK, (high + WEYL[1]) & MASK
    return x


def key_of(seed: int, label: str) -> tuple[int, int]:
    """Return (seed, first 8 bytes of SHA-256 of the label, little-endian)."""
    return seed, int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little")


def word32(seed: int, label: str, row: int) -> int:
    """Return the 32-bit word of a row: 8 a block, the block's bytes little-endian."""
    block = philox(row // 8 + 1, key_of(seed, label))  # numpy adds 1 before it encrypts
    return block[row % 8 // 2] >> (32 * (row % 2)) & 0xFFFFFFFF


def word64(seed: int, label: str, row: int) -> int:
    """Return the 64-bit word of a row: 4 a block."""
    return philox(row // 4 + 1, key_of(seed, label))[row % 4]


def thresholds(probabilities: list[float]) -> list[int]:
    """Return round(2^32 cumulative), at most 2^32 - 1, of all levels but the last."""
    found, cumulative = [], 0.0
    for probability in probabilities[:-1]:
        cumulative += probability
        found.append(min(round(cumulative * 2**32), 2**32 - 1))
    return found


def code(probabilities: list[float], word: int) -> int:
    """Return how many thresholds the capped word reaches."""
    return sum(min(word, 2**32 - 2) >= threshold for threshold in thresholds(probabilities))


def chain(seed: int, rows: range) -> dict[str, list[int]]:
    """Return codes of the network x -> y with the tables of `vectors`."""
    x = [code(TABLE_X, word32(seed, "x", row)) for row in rows]
    y = [code(TABLE_Y[at], word32(seed, "y", row)) for at, row in zip(x, rows, strict=True)]
    return {"x": x, "y": y}


TABLE_X = [0.25, 0.5, 0.25]
TABLE_Y = [[0.1, 0.9], [1.0, 0.0], [0.0, 1.0]]
SEEDS_AND_ROWS = ((1, range(12)), (2**64 - 1, range(8 * 10**9 - 3, 8 * 10**9 + 6)))


def vectors() -> dict[str, Any]:
    """Return the content of the file."""
    return {
        "format": "concause-sampling/1",
        "tables": {"x": TABLE_X, "y": TABLE_Y},
        "thresholds": {"x": thresholds(TABLE_X), "y": [thresholds(row) for row in TABLE_Y]},
        "cases": [
            {
                "seed": str(seed),
                "start": rows.start,
                "words": [word32(seed, "x", row) for row in rows],
                "within": [str(word64(seed, "x/within", row) >> 11) for row in rows],
                "codes": chain(seed, rows),
            }
            for seed, rows in SEEDS_AND_ROWS
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
