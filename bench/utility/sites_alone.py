"""What consortia do today: every site releases synthetic rows of its own, and the rows are pooled.

Each site spends the whole budget on its own persons, with its own noise alone and our estimator,
and makes as many rows as it has persons. A researcher fits P(node | parents) to the pooled rows.
"""

import time
from dataclasses import dataclass

import numpy as np

from bench.utility.answer import from_rows
from bench.utility.ours import SOURCES, central_model
from bench.utility.world import CENTRAL, Answer, Codes, Records, World
from server.causal.model_file import FEWEST_DRAWS


@dataclass(frozen=True, slots=True)
class SitesAlone:
    """Persons are split evenly, in the order of the records, which is of chance."""

    name: str = "sites alone"
    number: int = 10
    sources: tuple[str, ...] = (*SOURCES, "bench/utility/sites_alone.py")

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return the answer from the pooled rows."""
        study = world.study(epsilon, CENTRAL)
        start = time.perf_counter()
        bounds = np.linspace(0, len(records.codes), self.number + 1).astype(int).tolist()
        pooled = [
            self._rows(world, records.part(slice(*bounds[site : site + 2])), epsilon, (seed, site))
            for site in range(self.number)
        ]
        seconds = time.perf_counter() - start
        return from_rows(world, study, np.concatenate(pooled), seconds)

    def _rows(
        self, world: World, own: Records, epsilon: float, seed_and_site: tuple[int, int]
    ) -> Codes:
        seed, site = seed_and_site
        own_seed = seed * self.number + site
        study = world.study(epsilon, CENTRAL)
        model = central_model(study, own, draws=FEWEST_DRAWS, seed=own_seed)
        return model.codes(len(own.codes), seed=own_seed).T.astype(np.int64)


SITES_ALONE = SitesAlone()
