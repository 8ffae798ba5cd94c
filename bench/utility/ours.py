"""This project: residual tables under one plan, fitted by `server/estimation`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.utility.answer import from_draws
from bench.utility.gaussian import GaussianNetwork
from bench.utility.linear import linear_answer
from bench.utility.rounds import release, without_noise
from bench.utility.world import CENTRAL, TEN_SITES, Answer, Records, Sites, World
from protocol.privacy.plan import compile_plan
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import Mechanism, RegressionMechanism, TableMechanism
from server.causal.model import Model
from server.estimation.fit import DRAWS, fit

SOURCES = (
    *("protocol", "server"),
    *(f"bench/utility/{name}.py" for name in ("linear", "ours", "rounds")),
)


@dataclass(frozen=True, slots=True)
class OneRound:
    """One round with uniform weights: the plan of a study that asks no questions."""

    name: str
    sites: Sites
    noisy: bool = True
    sources: tuple[str, ...] = SOURCES

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return effects, intervals and family tables of the fitted model."""
        study = world.study(epsilon, self.sites)
        plan = compile_plan(study) if self.noisy else without_noise(compile_plan(study))
        generator = np.random.default_rng([seed, 1])
        noisy = release(
            study, plan, records.codes, self.sites.contributors, generator, records.values
        )
        start = time.perf_counter()
        model = fit(study, plan, noisy, draws=DRAWS, seed=seed)
        return answer_of(world, model, time.perf_counter() - start)


TEN = OneRound("ours, 10 sites", TEN_SITES)
ONE_CURATOR = OneRound("ours, central noise", CENTRAL)
NO_NOISE = OneRound("ours, no noise", CENTRAL, noisy=False)


def answer_of(world: World, model: Model, seconds: float) -> Answer:
    """Return what a fitted model says."""
    lines = lines_of(model)
    if isinstance(world, GaussianNetwork) and lines:
        return linear_answer(world, model.study, lines, seconds)
    found: Mapping[str, Mechanism] = model.mechanisms
    tables = {node: one for node, one in found.items() if isinstance(one, TableMechanism)}
    draws = {node: one.point_and_draws for node, one in tables.items()}
    return from_draws(world, model.study, draws, seconds)


def lines_of(model: Model) -> Mapping[str, RegressionMechanism]:
    """Return the mechanisms of a model of regressions alone; none of another."""
    found: Mapping[str, Mechanism] = model.mechanisms
    lines = {node: one for node, one in found.items() if isinstance(one, RegressionMechanism)}
    return lines if len(lines) == len(found) else {}


def central_model(study: Study, records: Records, draws: int, seed: int) -> Model:
    """Return the model that one curator would fit to records that it holds alone."""
    plan = compile_plan(study)
    generator = np.random.default_rng([seed, 2])
    noisy = release(study, plan, records.codes, CENTRAL.contributors, generator, records.values)
    return fit(study, plan, noisy, draws=draws, seed=seed)
