"""Combined intervals from synthetic data sets cover; one set taken for real data does not.

Seeded, so that a run never flakes by itself. Were the seeds changed: with a true coverage of 0.95
fewer than 90 % of 150 rounds cover about once in 200, and fewer than 93 % of 1,000 once in 400.
"""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from protocol.privacy.plan import compile_plan
from server.causal.model import Model
from server.causal.synthetic.combining import combine
from server.causal.synthetic.copies import plan_copies
from server.estimation.fit import fit
from tests.support.networks import BOOLEAN, Network, network, release, yes

Reals = NDArray[np.float64]

SETS, ROUNDS, PERSONS = 20, 150, 2000
NORMAL = 1.96


@pytest.mark.parametrize("sets", [2, 5, 20])
@pytest.mark.parametrize("ratio", [0.05, 0.5, 2.0, 20.0])
def test_intervals_cover_where_the_posterior_is_known(sets: int, ratio: float) -> None:
    """Q and the sets' parameters from one normal distribution; `ratio` is W / u of the module."""
    rounds = 1000
    generator = default_rng([sets, int(100 * ratio)])
    truth = generator.normal(0, np.sqrt(ratio), rounds)
    estimates = generator.normal(0, np.sqrt(ratio), (sets, rounds))
    estimates += generator.normal(0, 1, (sets, rounds))
    found = combine(estimates, np.ones((sets, rounds)))
    assert np.mean((found.low <= truth) & (truth <= found.high)) >= 0.93
    if ratio >= 2 and sets >= 20:  # no wider than it has to be
        needed = (1 + 1 / sets) * ratio + 1 / sets
        assert np.mean(found.variance) == pytest.approx(needed, rel=0.08)
        assert np.mean((found.low <= truth) & (truth <= found.high)) <= 0.985


def clinic() -> Network:
    """Return a network in which the worst cases are treated more often, and recover less often."""
    treated = yes(0.2, 0.35, 0.5, 0.7)
    recovery = np.array([[0.8, 0.9], [0.65, 0.78], [0.5, 0.62], [0.3, 0.45]])
    levels = ["mild", "moderate", "grave", "critical"]
    return network(
        {
            "severity": f'kind = "ordinal"\nlevels = {levels}',
            "treated": BOOLEAN,
            "recovered": BOOLEAN,
        },
        ["severity -> treated", "severity -> recovered", "treated -> recovered"],
        {
            "severity": np.array([0.3, 0.3, 0.25, 0.15]),
            "treated": treated,
            "recovered": np.stack([1 - recovery, recovery], axis=-1),
        },
        budget="epsilon = 1.0, delta = 1e-6",
    )


def regression(columns: Reals) -> tuple[Reals, Reals]:
    """Return slopes of severity and treatment on recovery, and their variances: least squares."""
    severity, treated, recovered = columns
    design = np.column_stack([np.ones_like(severity), severity, treated])
    inverse = np.linalg.inv(design.T @ design)
    slopes = inverse @ design.T @ recovered
    residuals = recovered - design @ slopes
    spread = residuals @ residuals / (len(recovered) - 3)
    return slopes[1:], spread * np.diag(inverse)[1:]


def true_slopes(made: Network) -> Reals:
    """Return what the regression would find in the whole population."""
    codes = np.indices((4, 2, 2)).reshape(3, -1).astype(float)
    order = [made.nodes.index(node) for node in ("severity", "treated", "recovered")]
    weights = made.joint().transpose(order).ravel()
    design = np.column_stack([np.ones(16), codes[0], codes[1]])
    return np.linalg.solve(design.T * weights @ design, design.T * weights @ codes[2])[1:]


def columns_of(model: Model, seed: int, draw: int | None) -> Reals:
    order = [
        model.study.causal_graph.nodes.index(it) for it in ("severity", "treated", "recovered")
    ]
    return model.codes(PERSONS, seed, draw=draw)[order].astype(float)


def test_combined_slopes_cover_the_truth_and_those_of_one_set_do_not() -> None:
    """Measured: 0.97 and 0.98 combined, 0.76 and 0.79 with one data set taken for records."""
    made = clinic()
    plan, truth = compile_plan(made.study), true_slopes(made)
    combined, naive = np.zeros((2, ROUNDS, 2), dtype=bool)
    for number in range(ROUNDS):
        generator = default_rng([5, number])
        noisy = release(plan, made.records(PERSONS, generator), made.study, generator)
        model = fit(made.study, plan, noisy, draws=SETS, seed=number)
        copies = plan_copies(SETS, seed=number, draws=SETS)
        sets = [regression(columns_of(model, copy.seed, copy.draw)) for copy in copies]
        found = combine([slopes for slopes, _ in sets], [variances for _, variances in sets])
        combined[number] = (found.low <= truth) & (truth <= found.high)
        slopes, variances = regression(columns_of(model, number, None))
        naive[number] = np.abs(slopes - truth) <= NORMAL * np.sqrt(variances)
    assert combined.mean(axis=0).min() >= 0.9
    assert naive.mean(axis=0).max() < 0.85
