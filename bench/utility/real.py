"""Real data with accepted effects: what the studies of `real_studies.py` answer, and how far off.

For every study: the frequencies of the records under the same graph (no privacy, no model), our
estimate without noise, and ours in a round of ten sites at every budget. Errors are against the
effect that the literature accepts, in its own units. The records are always the same: coverage is
the share of noise seeds whose interval holds the accepted effect.

An error that is there without noise is not one of privacy. Where the frequencies have it too, it is
one of graph and bins: so for ACIC 2016, whose covariates have no published meaning from which
arrows could be argued. Where they have not, it is one of the estimator, which pulls rows of few
persons to those of many: so for NSW, whose 185 treated persons are spread over 64 strata that are
full of 15,992 controls.

`python -m bench.utility.real` prints the table, and writes it to FOLDER as Markdown and JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.utility.answer import conditional, counted
from bench.utility.effects import Tables
from bench.utility.estimands import average_effect, effect_on_treated, log_hazard_ratios
from bench.utility.real_data import (
    Column,
    encode,
    exit_codes,
    read_acic,
    read_actg175,
    read_nhefs,
    read_nsw,
)
from bench.utility.real_studies import (
    ACTG175,
    ACTG175_HALF_YEARS,
    NHEFS,
    NSW,
    acic_body,
)
from bench.utility.rounds import release, without_noise
from bench.utility.studies import study_of
from bench.utility.table import markdown
from bench.utility.world import TEN_SITES, Codes
from protocol.privacy.plan import compile_plan
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import TableMechanism
from server.estimation.fit import DRAWS, fit

FOLDER = Path("build/utility")
HEADER = (
    *("study", "effect", "accepted", "arm"),
    *("estimate", "error", "width", "coverage"),
)
EPSILONS = (0.5, 1.0, 3.0)
SEEDS = 5
_REACH = 1.959963984540054  # of a normal interval of 95 %

Estimand = Callable[[Study, Mapping[str, Tables]], NDArray[np.float64]]  # shape (draws, effects)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An effect that the literature accepts, or that the simulation knows."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class RealStudy:
    """Records, the study's body, and what to ask of P(node | parents) of all nodes."""

    name: str
    body: str
    columns: Mapping[str, Column]
    estimand: Estimand
    accepted: tuple[Accepted, ...]
    ratio: bool = False  # the estimand is a logarithm: shown, and scored, after exp

    def study(self, epsilon: float = 1.0) -> Study:
        """Return the study of ten sites with this budget."""
        return study_of(self.name, self.body, epsilon, TEN_SITES)

    def codes(self) -> Codes:
        """Return all records."""
        return encode(self.study(), self.columns)


@dataclass(frozen=True, slots=True)
class Result:
    """How one effect of one study came out; nan where there are no intervals."""

    study: str
    effect: str
    unit: str
    accepted: float
    arm: str
    estimate: float  # mean over noise seeds
    error: float  # mean absolute error against the accepted effect
    width: float  # mean width of nominal 95 % intervals
    coverage: float  # share of noise seeds whose interval holds the accepted effect


def nhefs() -> RealStudy:
    """Return: does quitting smoking change weight?"""
    estimand = average_effect("quit", "change")
    source = "Hernán and Robins 2020, chapters 12 and 13: 3.4 and 3.5"
    accepted = Accepted("quitting on weight", 3.45, "kg", source)
    return RealStudy("nhefs", NHEFS, read_nhefs(), estimand, (accepted,))


def nsw() -> RealStudy:
    """Return: did the programme raise the earnings of those whom it took?"""
    source = "the experiment's own controls, Dehejia and Wahba 1999"
    accepted = Accepted("programme on its participants' earnings", 1794.0, "dollars", source)
    return RealStudy("nsw", NSW, read_nsw(), effect_on_treated("treated", "re78"), (accepted,))


def actg175() -> RealStudy:
    """Return: which treatment of HIV delays progression, against zidovudine alone?"""
    columns = read_actg175()
    coded = {"arm": columns["arm"], "exit": exit_codes(columns["days"], columns["event"])}
    published = {"with didanosine": 0.50, "with zalcitabine": 0.54, "didanosine alone": 0.61}
    accepted = tuple(
        Accepted(name, value, "hazard ratio", "Hammer et al. 1996")
        for name, value in published.items()
    )
    estimand = log_hazard_ratios("arm", "exit", ACTG175_HALF_YEARS)
    return RealStudy("actg175", ACTG175, coded, estimand, accepted, ratio=True)


def acic(instance: int) -> RealStudy:
    """Return an instance of ACIC 2016, 1 to 10: what is the average effect?"""
    columns, truth = read_acic(instance)
    accepted = Accepted("treated on outcome", truth, "units", "simulated: mean of mu1 - mu0")
    estimand = average_effect("treated", "outcome")
    body = acic_body(columns["outcome"])
    return RealStudy(f"acic-{instance}", body, columns, estimand, (accepted,))


def evaluate(study: RealStudy, epsilons: Sequence[float] = EPSILONS) -> list[Result]:
    """Return all results of one study, effects in its order within each arm."""
    arms: dict[str, list[NDArray[np.float64]]] = {
        "frequencies": [study.estimand(study.study(), frequencies(study.study(), study.codes()))],
        "ours, no noise": [_ours(study, None, 0)],
    }
    for epsilon in epsilons:
        arms[f"ours, epsilon {epsilon:g}"] = [_ours(study, epsilon, s) for s in range(SEEDS)]
    return [
        _result(study, place, arm, [found[:, place] for found in seeds])
        for arm, seeds in arms.items()
        for place in range(len(study.accepted))
    ]


def frequencies(study: Study, codes: Codes) -> Mapping[str, Tables]:
    """Return P(node | parents) as counted, shape (1, parents' sizes .., size)."""
    graph = study.causal_graph
    tables = {node: counted(codes, study, graph.family(node)) for node in graph.nodes}
    return {node: conditional(table.astype(np.float64))[None] for node, table in tables.items()}


def _ours(study: RealStudy, epsilon: float | None, seed: int) -> NDArray[np.float64]:
    """Return the estimand of a fitted round, shape (1 + draws, effects); None is no noise."""
    document = study.study() if epsilon is None else study.study(epsilon)
    plan = compile_plan(document)
    if epsilon is None:
        plan = without_noise(plan)
    generator = np.random.default_rng([seed, 3])
    noisy = release(document, plan, study.codes(), TEN_SITES.contributors, generator)
    model = fit(document, plan, noisy, draws=DRAWS, seed=seed)
    found: Mapping[str, object] = model.mechanisms
    tables = {node: one for node, one in found.items() if isinstance(one, TableMechanism)}
    return study.estimand(document, {node: one.point_and_draws for node, one in tables.items()})


def _result(study: RealStudy, place: int, arm: str, seeds: Sequence[NDArray[np.float64]]) -> Result:
    """Return the result of one arm; every seed has the estimate and, after it, its draws."""
    accepted, to_unit = study.accepted[place], np.exp if study.ratio else np.asarray
    points = np.array([found[0] for found in seeds])
    reach = _REACH * np.array([found[1:].std() if len(found) > 1 else np.nan for found in seeds])
    low, high, estimates = to_unit(points - reach), to_unit(points + reach), to_unit(points)
    inside = (low <= accepted.value) & (accepted.value <= high)
    return Result(
        study=study.name,
        effect=accepted.name,
        unit=accepted.unit,
        accepted=accepted.value,
        arm=arm,
        estimate=float(estimates.mean()),
        error=float(np.abs(estimates - accepted.value).mean()),
        width=float((high - low).mean()),
        coverage=float(inside.mean()) if np.isfinite(reach).all() else float("nan"),
    )


def all_studies() -> list[RealStudy]:
    """Return the studies that are scored; ACIC 2016 by its ten instances in causallib."""
    return [nhefs(), nsw(), actg175(), *(acic(instance) for instance in range(1, 11))]


def rows_of(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return the cells of the table as text; empty where there is no interval."""
    return [
        (
            *(one.study, f"{one.effect}, {one.unit}", f"{one.accepted:.3g}", one.arm),
            *(f"{one.estimate:.3g}", f"{one.error:.3g}"),
            *("" if np.isnan(x) else f"{x:.3g}" for x in (one.width, one.coverage)),
        )
        for one in results
    ]


def main() -> None:
    """Measure, print the table, and write it beside the rest of the utility benchmark."""
    results = [one for study in all_studies() for one in evaluate(study)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "real.json").write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")
    (FOLDER / "real.md").write_text(markdown(HEADER, rows_of(results)))
    table = Table(*HEADER)
    for row in rows_of(results):
        table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
