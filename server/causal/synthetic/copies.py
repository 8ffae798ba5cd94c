"""Several synthetic data sets of one model: which parameters and which noise each is drawn with.

Sets that shared their parameters would hide what the privacy noise and the sampling of persons
leave open, and sets that shared their noise would hide the sampling of rows. So each takes another
parameter draw, evenly spread over all of them, and a stream of its own.
"""

import hashlib
from dataclasses import dataclass

from protocol.errors import UsageError
from server.causal.sampling.noise import check_seed

_PURPOSE = b"concause/1/copy-seed\x00"
_SEED_BYTES = 6  # exact in a JSON number


@dataclass(frozen=True, slots=True)
class Copy:
    """One data set among several: its number from 1, and the arguments of `Model.sample`."""

    number: int
    seed: int
    draw: int | None  # None: the point estimate


def plan_copies(copies: int, *, seed: int, draws: int) -> tuple[Copy, ...]:
    """Return what each of `copies` data sets is drawn with, of a model with `draws` draws.

    A single one is drawn from the point estimate, with `seed` itself.

    Raises:
        UsageError: fewer than one, more than there are draws, or a seed outside 64 bits.
    """
    check_seed(seed)
    if not 1 <= copies <= draws:
        raise UsageError(
            "copies-out-of-range",
            f"Expected 1 to {draws} data sets, one a parameter draw at most, found {copies}.",
            "20 are plenty; more rows in each are of more use than more sets.",
        )
    if copies == 1:
        return (Copy(1, seed, None),)
    return tuple(
        Copy(index + 1, _stream(seed, index + 1), index * draws // copies)
        for index in range(copies)
    )


def _stream(seed: int, number: int) -> int:
    digest = hashlib.sha256(_PURPOSE + seed.to_bytes(8, "big") + number.to_bytes(4, "big")).digest()
    return int.from_bytes(digest[:_SEED_BYTES], "big")
