"""What consortia do today: every site releases synthetic rows of its own, and the rows are pooled.

Each site spends the whole budget on its own persons, with its own noise alone and our estimator,
and makes as many rows as it has persons. A researcher fits P(node | parents) to the pooled rows:
tables, or lines where the mechanisms are Gaussian.
"""

import time
from dataclasses import dataclass

import numpy as np

from bench.utility.answer import from_rows
from bench.utility.gaussian import GaussianNetwork
from bench.utility.linear import least_squares, line_rows
from bench.utility.ours import SOURCES, central_model, lines_of
from bench.utility.world import CENTRAL, Answer, Records, World
from protocol.study.study import Study
from server.causal.files.model_file import FEWEST_DRAWS


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
            _site_rows(
                world, study, records.part(slice(*bounds[site : site + 2])), seed * 1000 + site
            )
            for site in range(self.number)
        ]
        seconds = time.perf_counter() - start
        codes = np.concatenate([rows.codes for rows in pooled])
        numbers = [rows.values for rows in pooled if rows.values is not None]
        if isinstance(world, GaussianNetwork) and numbers:
            return least_squares(world, study, Records(codes, np.concatenate(numbers)), seconds)
        return from_rows(world, study, codes, seconds)


def _site_rows(world: World, study: Study, own: Records, seed: int) -> Records:
    """Return as many synthetic rows as the site has persons."""
    model = central_model(study, own, draws=FEWEST_DRAWS, seed=seed)
    rows, lines = len(own.codes), lines_of(model)
    if isinstance(world, GaussianNetwork) and lines:
        return line_rows(world, study, lines, rows, np.random.default_rng([seed, 4]))
    return Records(model.codes(rows, seed=seed).T.astype(np.int64))


SITES_ALONE = SitesAlone()
