"""The noise of a site with a million elements, beside OpenDP's sampler of the same law."""

import os
from fractions import Fraction

from bench.harness import Measurement, cpu_seconds, interleaved
from client.measure.noise import gaussian
from protocol.privacy.discrete_gaussian import sample

DRAWS = 1_000_000
REFERENCE = 100_000  # of OpenDP's, scaled up: it takes 15 s for all
SCALE = Fraction(12345, 16)
MOST_SECONDS = 5


def run() -> list[Measurement]:
    """Measure both, interleaved, and the random bytes alone."""
    release, zeros = gaussian(SCALE), [0] * REFERENCE
    ours, theirs = interleaved(
        lambda: sample(SCALE, DRAWS, os.urandom), lambda: release(zeros), repeats=5
    )
    taken = 0

    def counted(octets: int) -> bytes:
        nonlocal taken
        taken += octets
        return os.urandom(octets)

    sample(SCALE, DRAWS, counted)
    return [
        Measurement(
            "noise: 1e6 draws of a discrete Gaussian",
            ours,
            "CPU s",
            peer="OpenDP",
            peer_value=theirs * DRAWS / REFERENCE,
            limit="its random bytes",
            limit_value=cpu_seconds(lambda: os.urandom(taken)),
            target=MOST_SECONDS,
            targets_ratio=False,
            at_least=False,
        )
    ]
