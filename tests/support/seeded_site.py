"""A site as `concause site start --with-supernode` runs it, but with noise from a seed.

`python -m tests.support.seeded_site CONFIG SEED`. The test double of noise, and of nothing else:
the sum of a federation can then be foretold number by number.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from client.commands.work import start
from protocol.privacy.plan import StatisticsPlan
from protocol.secagg.ring import Integers


def seeded_noise(seed: int) -> Callable[[StatisticsPlan, Integers], Integers]:
    """Return what adds the noise of a seed, always the same."""

    def seeded(plan: StatisticsPlan, values: Integers) -> Integers:
        noise: Integers = np.random.default_rng(seed).integers(-9, 10, plan.length)
        return values + noise

    return seeded


def main(config: Path, seed: int) -> None:
    """Run the site until it is told to stop."""
    with patch("client.gate.opening.add_noise", seeded_noise(seed)):
        start(config, with_supernode=True, as_json=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
