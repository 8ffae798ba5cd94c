"""This project with budgets directed at the questions, in two rounds over the same records.

The first round spends FIRST_SHARE of the budget with uniform weights; its model says how much the
noise of every table would hurt the answers; the second round spends the rest accordingly, and the
two sums are fitted as one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np

from bench.utility.asked import QUESTIONS, STUDIES, Asked
from bench.utility.ours import SOURCES, answer_of
from bench.utility.rounds import release
from bench.utility.world import TEN_SITES, Answer, Records, Sites, World
from protocol.privacy.plan import budget_of, compile_plan
from protocol.study.graph import Clique
from protocol.study.study import Study
from server.causal.files.model_file import FEWEST_DRAWS
from server.estimation.contrasts import noise_of, plan_layout
from server.estimation.design import directed_weights
from server.estimation.evidence import NoisySum
from server.estimation.fit import DRAWS, fit
from server.estimation.prior import prior_of

FIRST_SHARE = Fraction(1, 4)


@dataclass(frozen=True, slots=True)
class Directed:
    """Two rounds; for worlds that are asked questions."""

    name: str = "ours, directed"
    sites: Sites = TEN_SITES
    sources: tuple[str, ...] = (*SOURCES, "bench/utility/directed.py", "bench/utility/asked.py")

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return the answers of the world's studies in turn; the rest is the first study's.

        Raises:
            TypeError: the world asks no questions.
        """
        if not isinstance(world, Asked):
            raise TypeError(f"expected a world with questions, found {world.name}")
        answers = [
            self._one_study(world, records, epsilon, seed, study) for study in range(STUDIES)
        ]
        asking = [range(study * QUESTIONS, (study + 1) * QUESTIONS) for study in range(STUDIES)]
        pairs = list(zip(answers, asking, strict=True))
        return replace(
            answers[0],
            effects=np.concatenate([answer.effects[own] for answer, own in pairs]),
            low=np.concatenate([answer.low[own] for answer, own in pairs]),
            high=np.concatenate([answer.high[own] for answer, own in pairs]),
        )

    def _one_study(
        self, world: Asked, records: Records, epsilon: float, seed: int, study: int
    ) -> Answer:
        asking = range(study * QUESTIONS, (study + 1) * QUESTIONS)
        rho, _ = budget_of(world.study(epsilon, self.sites).budget)
        first = world.within(_budget(rho * FIRST_SHARE), self.sites, range(0))
        second_budget = _budget(rho * (1 - FIRST_SHARE))
        generator = np.random.default_rng([seed, 1, study])
        count = self.sites.contributors
        earlier = release(first, compile_plan(first), records.codes, count, generator)
        start = time.perf_counter()
        undirected = world.within(second_budget, self.sites, asking)
        steering = _plan(first, _weights(first, earlier, undirected, seed))
        second = world.within(second_budget, self.sites, asking, steering)
        plan = compile_plan(second)
        seconds = time.perf_counter() - start
        later = release(second, plan, records.codes, count, generator)
        start = time.perf_counter()
        model = fit(second, plan, later, earlier=(earlier,), draws=DRAWS, seed=seed)
        return answer_of(world, model, seconds + time.perf_counter() - start)


DIRECTED = Directed()


def _weights(first: Study, earlier: NoisySum, study: Study, seed: int) -> Mapping[Clique, Decimal]:
    model = fit(first, earlier.plan, earlier, draws=FEWEST_DRAWS, seed=seed)
    layout = plan_layout(earlier.plan)
    known = noise_of(earlier.plan, layout, earlier.contributors)
    return directed_weights(study, compile_plan(study), prior_of(model), known)


def _budget(rho: Fraction) -> str:
    exact = Decimal(rho.numerator) / Decimal(rho.denominator)
    return f"rho = {exact.quantize(Decimal('1e-12'), rounding=ROUND_FLOOR):f}"


def _plan(first: Study, weights: Mapping[Clique, Decimal]) -> str:
    entries = "".join(
        f"[[plan.weights]]\nclique = {list(clique)}\nweight = {weight:f}\n"
        for clique, weight in weights.items()
    )
    return f'[plan]\nfollows = "{first.hash.hex()}"\n{entries}'
