"""The obvious method: every family's table with the same noise, clipped at 0 and normalised.

One person adds 1 to one cell of each of F tables: D^2 = F, so that each cell gets Gaussian noise of
variance F / (2 rho), by the same rho and cohort as our rounds.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from bench.utility.answer import conditional, counted, from_tables
from bench.utility.world import TEN_SITES, Answer, Records, Sites, World
from protocol.privacy.plan import budget_of


@dataclass(frozen=True, slots=True)
class EqualNoise:
    """Sites of the cohort share the noise; all that take part add theirs."""

    name: str = "equal noise"
    sites: Sites = TEN_SITES
    sources: tuple[str, ...] = ("bench/utility/equal_noise.py", "protocol/privacy")

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return the clipped tables as they are, and the effects of their rows."""
        study = world.study(epsilon, self.sites)
        rho, _ = budget_of(study.budget)
        graph = study.causal_graph
        surplus = self.sites.contributors / study.cohort.noise_shares
        deviation = np.sqrt(surplus * len(graph.nodes) / (2 * float(rho)))
        generator = np.random.default_rng([seed, 3])
        exact = [counted(records.codes, study, graph.family(node)) for node in graph.nodes]
        noisy = [table + deviation * generator.standard_normal(table.shape) for table in exact]
        start = time.perf_counter()
        clipped = [np.maximum(table, 0.0) for table in noisy]
        tables = {
            node: conditional(table) for node, table in zip(graph.nodes, clipped, strict=True)
        }
        seconds = time.perf_counter() - start
        marginals = [table / max(float(table.sum()), 1e-9) for table in clipped]
        return replace(from_tables(world, study, tables, seconds), marginals=marginals)


EQUAL_NOISE = EqualNoise()
