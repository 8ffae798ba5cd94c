"""Counterfactuals: what is exact is exact, what is a choice is labelled, and bounds hold."""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.optimize import linprog
from scipy.stats import ks_2samp

from protocol.errors import UsageError
from protocol.study.study import Study
from server.causal.counterfactuals.counterfactual import Counterfactuals, counterfactual
from server.causal.counterfactuals.couplings import at_place, moved_by_gumbel, place_of
from server.causal.counterfactuals.cross_world import cross_world
from server.causal.counterfactuals.transports import Side, extreme
from server.causal.model import Model
from server.causal.worlds.interventions import Intervention, policy, shift
from tests.support.causal_models import (
    mixed_model,
    model_of,
    regression,
    study_of,
    table,
    visits_model,
)
from tests.support.response_functions import random_functions

BOOLEAN = 'kind = "boolean"'
NOMINAL = 'kind = "categorical", levels = ["a", "b", "c"]'
ORDINAL = 'kind = "ordinal", levels = ["low", "middle", "high"]'
ROWS = 20_000


def binary(risks: tuple[float, float] = (0.3, 0.6)) -> Model:
    study = study_of({"t": BOOLEAN, "y": BOOLEAN}, ["t -> y"])
    values = np.array([[1 - risk, risk] for risk in risks])
    return model_of(
        study, {"t": table(study, "t", np.array([0.5, 0.5])), "y": table(study, "y", values)}
    )


# --- persons ---


def test_persons_who_are_as_they_would_be_set_stay_as_they_are() -> None:
    for model, do in ((mixed_model(), {"treated": 1}), (visits_model(), {"drug": 1})):
        found = counterfactual(model, 4_000, do, seed=5)
        (name,) = do
        treated = [column for column in found.factual if str(column).split("[")[0] == name]
        same = (found.factual[treated] == 1).all(axis=1)
        assert 0 < same.sum() < len(same)
        unchanged = [column for column in found.frame if not str(column).startswith("stay")]
        pd.testing.assert_frame_equal(
            found.frame.loc[same, unchanged], found.factual.loc[same, unchanged]
        )


@pytest.mark.parametrize(
    "do",
    [
        {"treated": 1},
        {"sex": "male"},
        {"age": 60},
        {"treated": policy("age < 50")},
        {"dose": shift(-1)},
    ],
    ids=str,
)
def test_rows_have_the_distribution_of_the_intervention(do: Mapping[str, Intervention]) -> None:
    model = mixed_model(0.0)
    found = counterfactual(model, ROWS, do, seed=5)
    for node in found.coupling:
        if node == "stay":
            continue
        expected = model.do(do).sample(ROWS, seed=77)[node]
        if expected.dtype.kind == "f":
            mine, theirs = (one.dropna() for one in (found.frame[node], expected))
            apart = ks_2samp(mine, theirs).statistic
            assert apart < 2.2 * np.sqrt(2 / len(mine)), node  # once in 10,000 by chance
        else:
            shares = found.frame[node].value_counts(normalize=True)
            assert (shares - expected.value_counts(normalize=True)).abs().max() < 0.02, node


def test_an_additive_residual_stays_with_its_person() -> None:
    study = study_of(
        {
            "t": BOOLEAN,
            "x": 'kind = "numeric", edges = [-100, 0, 100]',
            "y": 'kind = "numeric", edges = [-500, 0, 500]',
        },
        ["t -> y", "x -> y"],
        {"x": '{ kind = "gaussian" }', "y": '{ kind = "gaussian" }'},
    )
    given = {
        "x": regression(study, "x", np.array([1.0]), 10.0),
        "y": regression(study, "y", np.array([3.0, 7.0, 2.0]), 5.0),
    }
    model = model_of(study, given)
    found = counterfactual(model, 1_000, {"t": 1}, seed=2)
    effect = found.frame["y"] - found.factual["y"]
    assert effect.to_numpy() == pytest.approx(7.0 * (1 - found.factual["t"].to_numpy()), abs=1e-9)
    assert found.coupling == {"t": "computed", "y": "exact"}
    moved = counterfactual(model, found.factual, {"x": shift(10)})
    assert (moved.frame["y"] - found.factual["y"]).to_numpy() == pytest.approx(20.0, abs=1e-9)


def test_ordered_levels_keep_their_place() -> None:
    before = np.tile([0.2, 0.5, 0.3], (ROWS, 1))
    after = np.tile([0.6, 0.1, 0.3], (ROWS, 1))
    generator = np.random.default_rng(1)
    codes = generator.choice(3, ROWS, p=before[0])
    moved, _ = at_place(after, place_of(before, codes, generator.random(ROWS)))
    joint = np.zeros((3, 3))
    np.add.at(joint, (codes, moved), 1 / ROWS)
    overlap = [[0.2, 0, 0], [0.4, 0.1, 0], [0, 0, 0.3]]
    assert joint == pytest.approx(np.array(overlap), abs=0.01)
    assert joint[0, 1] == joint[0, 2] == joint[1, 2] == joint[2, 1] == 0


def test_gumbel_noise_gives_the_shares_and_is_stable() -> None:
    generator = np.random.default_rng(1)
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.3, 0.4, 0.2])
    codes = generator.choice(4, ROWS, p=p)
    free = [generator.random(ROWS) for _ in range(5)]
    moved = moved_by_gumbel(np.tile(p, (ROWS, 1)), codes, np.tile(q, (ROWS, 1)), free)
    assert np.bincount(moved, minlength=4) / ROWS == pytest.approx(q, abs=0.015)
    for seen, would in product(range(3), range(4)):
        if seen != would and q[seen] / p[seen] >= (q[would] / p[would] if p[would] else np.inf):
            assert not ((codes == seen) & (moved == would)).any()  # Oberst and Sontag 2019, thm 1
    again = moved_by_gumbel(np.tile(p, (ROWS, 1)), codes, np.tile(p, (ROWS, 1)), free)
    assert (again == codes).all()


def test_rows_of_people_are_read_as_they_are_sampled() -> None:
    model = mixed_model()
    own = counterfactual(model, 3_000, {"stage": "II"}, seed=4)
    read = counterfactual(
        model, own.factual.drop(columns=["crp", "visits"]), {"stage": "II"}, seed=4
    )
    for name in read.frame:
        left, right = read.frame[name], own.frame[name]
        if left.dtype.kind == "f":
            assert left.to_numpy() == pytest.approx(right.to_numpy(), rel=1e-9, nan_ok=True)
        else:
            assert left.equals(right), name
    assert "crp" not in read.frame


def test_times_of_people_whose_observation_ended_come_later() -> None:
    model = mixed_model()
    own = counterfactual(model, 3_000, {"treated": 1}, seed=4).factual
    found = counterfactual(model, own.assign(treated=0), {"treated": 1}, seed=4)
    censored = own["stay_event"] == 0
    assert censored.any()
    assert found.coupling["stay"] == "inverse CDF"
    assert (found.frame["stay"] >= 0).all()


def test_a_file_says_its_rung_and_its_couplings(tmp_path: Path) -> None:
    found = counterfactual(mixed_model(), 50, {"sex": "male"}, seed=4)
    found.write(tmp_path / "would.parquet")
    read = pq.read_table(tmp_path / "would.parquet")
    document = json.loads(read.schema.metadata[b"concause"])
    assert document["rung"] == "counterfactual"
    assert document["coupling"]["stage"] == "inverse CDF"
    assert document["do"] == "sex = male"
    assert "sex_would" in read.column_names
    assert "age_would" not in read.column_names
    assert (read.column("sex_would").to_pandas() == "male").all()
    with pytest.raises(UsageError) as refusal:
        found.write(tmp_path / "would.csv")
    assert refusal.value.code == "unknown-format"


# --- shares and bounds ---

GRAPHS: dict[str, tuple[dict[str, str], list[str]]] = {
    "treatment and outcome": ({"t": BOOLEAN, "y": BOOLEAN}, ["t -> y"]),
    "a common cause": ({"c": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}, ["c -> t", "c -> y", "t -> y"]),
    "a chain": ({"t": BOOLEAN, "m": BOOLEAN, "y": BOOLEAN}, ["t -> m", "m -> y"]),
    "a triangle": ({"t": BOOLEAN, "m": BOOLEAN, "y": BOOLEAN}, ["t -> m", "m -> y", "t -> y"]),
    "three levels": ({"t": BOOLEAN, "y": NOMINAL}, ["t -> y"]),
    "levels on the way": (
        {"t": BOOLEAN, "m": NOMINAL, "y": BOOLEAN},
        ["t -> m", "m -> y", "t -> y"],
    ),
    "two ways": (
        {"t": BOOLEAN, "a": BOOLEAN, "b": BOOLEAN, "y": BOOLEAN},
        ["t -> a", "t -> b", "a -> y", "b -> y"],
    ),
    "an ordered outcome": ({"t": NOMINAL, "y": ORDINAL}, ["t -> y"]),
}


def study_for(name: str) -> Study:
    variables, edges = GRAPHS[name]
    return study_of(variables, edges)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_whatever_the_response_functions(name: str, seed: int) -> None:
    study = study_for(name)
    functions = random_functions(study, np.random.default_rng(seed))
    model = functions.model()
    labels = study.model_labels("y")
    truth = functions.probability(
        {"t": 1},
        lambda _, other: other["y"] == len(labels) - 1,
        lambda factual: factual["t"] == 0 and factual["y"] == 0,
    )
    level = "b" if study.variables["t"].kind == "categorical" else 1
    reference = "a" if level == "b" else 0
    found = cross_world(model, "y", labels[-1], {"t": level}, {"t": reference, "y": labels[0]})
    assert found.lower - 1e-9 <= truth <= found.upper + 1e-9
    assert found.lower - 0.01 <= found.estimate <= found.upper + 0.01
    assert found.sharpness in {"sharp", "outer", "identified"}


@pytest.mark.parametrize("kind", [BOOLEAN, NOMINAL, ORDINAL])
def test_with_one_node_that_may_differ_bounds_are_sharp(kind: str) -> None:
    """They are those of a linear program over all response functions."""
    study = study_of({"c": BOOLEAN, "t": BOOLEAN, "y": kind}, ["c -> t", "c -> y", "t -> y"])
    model = model_of(study)
    labels = study.model_labels("y")
    found = cross_world(model, "y", labels[-1], {"t": 1}, {"t": 0, "y": labels[0]})
    assert found.sharpness == "sharp"
    c, t, y = (model.mechanisms[node].table for node in ("c", "t", "y"))  # type: ignore[union-attr]
    functions = list(product(range(len(labels)), repeat=2))  # of t, for each c
    both, mass = np.zeros(2), 0.0
    for stratum in range(2):
        weight = c[stratum] * t[stratum, 0]
        equal = [
            [float(f[arm] == k) for f in functions] for arm in (0, 1) for k in range(len(labels))
        ]
        known = np.concatenate([y[stratum, 0], y[stratum, 1]])
        goal = np.array([float(f[0] == 0 and f[1] == len(labels) - 1) for f in functions])
        for at, sign in enumerate((1, -1)):
            both[at] += weight * sign * linprog(sign * goal, A_eq=equal, b_eq=known).fun
        mass += weight * y[stratum, 0, 0]
    assert (found.lower, found.upper) == pytest.approx(both / mass, abs=1e-7)


def test_harm_of_a_treatment_that_helps_is_reported_with_its_bounds() -> None:
    """By inverse CDF nobody is harmed: the least that is possible, and not what data say."""
    found = cross_world(binary((0.3, 0.6)), "y", 0, {"t": 1}, {"t": 0, "y": 1})
    assert found.estimate == found.lower == 0.0
    assert found.upper == pytest.approx(1.0)  # min(.3, .4) / .3
    assert "lower bound: the coupling decides it, not the data" in found.text
    assert found.coupling["y"] == "inverse CDF"
    necessary = cross_world(binary((0.3, 0.6)), "y", 0, {"t": 0}, {"t": 1, "y": 1})
    assert necessary.lower == pytest.approx((0.6 - 0.3) / 0.6)  # Tian and Pearl 2000
    assert necessary.upper == pytest.approx(min(1, 0.7 / 0.6))


def test_what_the_treated_would_have_been_untreated_is_identified() -> None:
    model = model_of(study_for("a common cause"))
    found = cross_world(model, "y", 1, {"t": 0}, {"t": 1})
    c, t, y = (model.mechanisms[node].table for node in ("c", "t", "y"))  # type: ignore[union-attr]
    treated = c * t[:, 1]
    assert found.sharpness == "identified"
    assert found.estimate == pytest.approx((treated * y[:, 0, 1]).sum() / treated.sum(), abs=1e-9)
    assert found.lower == pytest.approx(found.upper)


def test_where_numbers_enter_the_envelope_holds() -> None:
    found = cross_world(
        mixed_model(0.05), "stay", "none", {"treated": 1}, {"treated": 0, "stay": "[0, 30)"}
    )
    assert found.sharpness == "envelope"
    assert found.lower <= found.estimate <= found.upper
    assert "an envelope" in found.text
    untreated = cross_world(mixed_model(0.05), "stay", "none", {"treated": 1}, {"treated": 0})
    assert untreated.sharpness == "identified"


def test_intervals_reach_past_the_bounds_of_the_estimate() -> None:
    study = study_for("a common cause")
    found = cross_world(model_of(study, spread=0.2), "y", 1, {"t": 1}, {"t": 0, "y": 0})
    assert found.lower_low <= found.lower <= found.upper <= found.upper_high
    assert found.lower_low < found.lower or found.lower == 0
    document = json.loads(json.dumps(found.to_json()))
    assert document["rung"] == "counterfactual"
    assert document["sharpness"] == "sharp"


def test_a_policy_read_from_what_persons_are_is_bounded_too() -> None:
    found = cross_world(model_of(study_for("a common cause")), "y", 1, {"t": policy("c")}, {"y": 0})
    assert 0 <= found.lower <= found.upper <= 1


def test_transports_of_many_levels_have_the_margins_of_simple_ones() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.dirichlet([1, 1], 30), generator.dirichlet([1, 1], 30)
    gains = generator.random((30, 2, 2))
    padded = [np.pad(it, ((0, 0), (0, 1))) for it in (a, b)]
    wide = np.pad(gains, ((0, 0), (0, 1), (0, 1)))
    sides: tuple[Side, Side] = ("least", "most")
    for side in sides:
        small = extreme(a, b, gains, side)
        found = extreme(padded[0], padded[1], wide, side)
        assert found == pytest.approx(small, abs=1e-8)


# --- refusals ---


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda m: counterfactual(m.do({"sex": "male"}), 5, {"treated": 1}), "intervened-model"),
        (lambda m: counterfactual(m, 5, {}), "no-intervention"),
        (lambda m: counterfactual(m, 5, {"treatd": 1}), "unknown-node"),
        (lambda m: counterfactual(m, 5, {"sex": "mal"}), "value-outside-domain"),
        (lambda m: counterfactual(m, -1, {"sex": "male"}), "rows-out-of-range"),
        (lambda m: counterfactual(m, m.sample(0, 1), {"sex": "male"}), "no-rows"),
        (lambda m: counterfactual(m, m.sample(5, 1)[["sex"]], {"sex": "male"}), "column-missing"),
        (
            lambda m: counterfactual(m, m.sample(5, 1).assign(dose=99), {"sex": "male"}),
            "value-outside-domain",
        ),
        (
            lambda m: counterfactual(m, m.sample(5, 1).assign(stay=-1.0), {"treated": 1}),
            "value-outside-domain",
        ),
        (
            lambda m: counterfactual(m, m.sample(5, 1).assign(crp=np.nan), {"age": 30}),
            "value-missing",
        ),
        (lambda m: cross_world(m, "stagee", "I", {"treated": 1}), "unknown-node"),
        (lambda m: cross_world(m, "stage", "IX", {"treated": 1}), "unknown-level"),
        (lambda m: cross_world(m, "stage", "I", {"sex": "male"}, {"sexx": 1}), "unknown-node"),
        (
            lambda m: cross_world(m, "stage", "I", {"sex": "male"}, {"sex": "female", "stage": []}),
            "no-such-persons",
        ),
    ],
)
def test_questions_that_cannot_be_are_refused(ask: object, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        ask(mixed_model())  # type: ignore[operator]
    assert refusal.value.code == code


def test_unmeasured_causes_are_refused() -> None:
    study = study_of({"t": BOOLEAN, "m": BOOLEAN, "y": BOOLEAN}, ["t -> m", "m -> y", "t <-> y"])
    with pytest.raises(UsageError) as refusal:
        counterfactual(model_of(study), 5, {"t": 1})
    assert refusal.value.code == "unmeasured-causes"


def test_counterfactuals_say_what_they_rest_on() -> None:
    found = counterfactual(mixed_model(), 5, {"sex": "male"})
    assert isinstance(found, Counterfactuals)
    assert found.rests_on[0].startswith("The graph")
    assert "5 persons under sex = male" in repr(found)
