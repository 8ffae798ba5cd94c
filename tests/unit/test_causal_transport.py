"""Effects in another population: its own mechanisms where it differs, ours elsewhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from protocol.errors import UsageError
from protocol.study.document import study_from_canonical
from server.causal.mechanisms.mechanism import TableMechanism, apportion
from server.causal.model import Model
from server.causal.transport.transport import TRANSPORTED, transport
from tests.support.causal_models import mixed_model, model_of, study_of, table, visits_model

BOOLEAN = 'kind = "boolean"'
RISKS = np.array([[0.1, 0.3], [0.4, 0.9]])  # by s, then t


def population(share: float, spread: float = 0.0, edges: tuple[str, ...] = ()) -> Model:
    """s -> t, s -> y, t -> y: an effect of .2 without s and .5 with it."""
    arrows = ["s -> t", "s -> y", "t -> y", *edges]
    study = study_of({"s": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}, arrows)
    given = {
        "s": table(study, "s", np.array([1 - share, share]), spread),
        "y": table(study, "y", np.stack([1 - RISKS, RISKS], axis=-1), spread),
    }
    return model_of(study, given)


def effect(share: float) -> float:
    return (1 - share) * 0.2 + share * 0.5


def test_effect_in_the_target_is_that_of_its_own_persons() -> None:
    here, there = population(0.2), population(0.7)
    carried = transport(here, there, "s")
    assert here.effect("t", "y").estimate == pytest.approx(effect(0.2))
    assert carried.effect("t", "y").estimate == pytest.approx(effect(0.7), abs=1e-12)
    assert carried.mechanisms["y"] is here.mechanisms["y"]


def test_intervals_hold_the_uncertainty_of_both_populations() -> None:
    sure, unsure = population(0.7, 0.0), population(0.7, 0.4)
    narrow = transport(population(0.2, 0.1), sure, ["s"]).effect("t", "y")
    wide = transport(population(0.2, 0.1), unsure, ["s"]).effect("t", "y")
    assert narrow.standard_error < wide.standard_error


def test_what_is_assumed_is_said() -> None:
    carried = transport(population(0.2), population(0.7), "s")
    (caution,) = (one for one in carried.cautions if one.code == TRANSPORTED)
    assert caution.node == "s"
    assert "'t', 'y'" in caution.text
    assert "assumed" in caution.text
    assert Model.from_json(carried.to_json()).effect("t", "y").estimate == pytest.approx(
        effect(0.7)
    )


def test_rows_of_the_target_are_counted() -> None:
    rows = population(0.7).sample(50_000, seed=1)
    carried = transport(population(0.2), rows[["s"]], "s")
    share = rows["s"].mean()
    assert carried.marginal("s")["1"] == pytest.approx(share, abs=1e-4)
    found = carried.effect("t", "y")
    assert found.estimate == pytest.approx(effect(share), abs=1e-4)
    deviation = carried.mechanisms["s"].draws[:, 1].std()  # type: ignore[union-attr]
    assert deviation == pytest.approx(np.sqrt(share * (1 - share) / 50_000), rel=0.5)


def test_rows_of_every_kind_of_column_are_counted_as_they_are_sampled() -> None:
    model = mixed_model()
    rows = model.sample(40_000, seed=3)
    nodes = ["age", "sex", "smoker", "stage"]
    carried = transport(model, rows, nodes)
    for node in nodes:
        expected = model.marginal(node).to_numpy()
        assert carried.marginal(node).to_numpy() == pytest.approx(expected, abs=0.01), node


def test_another_number_of_draws_in_the_target_is_gone_round() -> None:
    here, there = population(0.2, 0.2), population(0.7, 0.2)
    mechanism = there.mechanisms["s"]
    assert isinstance(mechanism, TableMechanism)
    more = np.random.default_rng(1).dirichlet([3, 7], size=33)
    theirs = TableMechanism("s", (), mechanism.table, apportion(more), mechanism.support)
    others = {
        name: replace(one, parts=one.parts[np.arange(33) % 20])
        for name, one in there.mechanisms.items()
        if isinstance(one, TableMechanism)
    }
    target = Model(there.study, {**others, "s": theirs}, there.provenance)
    carried = transport(here, target, "s")
    assert carried.draws == 20
    assert np.isfinite(carried.effect("t", "y").standard_error)


def test_regressions_placements_and_visits_are_taken_too() -> None:
    one, other = mixed_model(0.1), mixed_model(0.3)
    carried = transport(one, other, ["age", "pressure"])
    assert carried.mechanisms["pressure"] is other.mechanisms["pressure"]
    assert (carried.placements["age"].shares == other.placements["age"].shares).all()
    assert (carried.placements["crp"].shares == one.placements["crp"].shares).all()
    assert transport(visits_model(0.1), visits_model(0.3), "drug").sample(10, seed=1).shape[0] == 10


def test_targets_with_other_causes_or_levels_are_refused() -> None:
    here = population(0.2)
    study = study_of({"s": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}, ["s -> y", "t -> y"])
    with pytest.raises(UsageError) as refusal:
        transport(here, model_of(study), "t")
    assert refusal.value.code == "other-mechanism"
    levels = study_of(
        {"s": 'kind = "ordinal", levels = ["a", "b"]', "t": BOOLEAN, "y": BOOLEAN},
        ["s -> t", "s -> y", "t -> y"],
    )
    with pytest.raises(UsageError, match="other levels of 's'") as refusal:
        transport(here, model_of(levels), "s")
    with pytest.raises(UsageError) as refusal:
        transport(here, model_of(study_of({"s": BOOLEAN, "z": BOOLEAN}, [])), "t")
    assert refusal.value.code == "other-mechanism"


ROWS = pd.DataFrame({"s": [0, 1, 1], "t": [0, 0, 1]})
BAD = [
    (ROWS, "x", "unknown-node"),
    (ROWS, [], "nothing-specific"),
    (ROWS[["t"]], "s", "column-missing"),
    (ROWS[["t"]], "t", "column-missing"),  # its parent
    (ROWS.iloc[:0], "s", "no-rows"),
    (ROWS.assign(s=[0, 1, 2]), "s", "value-outside-domain"),
    (ROWS.assign(s=[0, 1, float("nan")]), "s", "value-outside-domain"),
]


@pytest.mark.parametrize(("rows", "specific", "code"), BAD)
def test_rows_that_do_not_fit_are_refused(
    rows: pd.DataFrame, specific: str | list[str], code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        transport(population(0.2), rows, specific)
    assert refusal.value.code == code


def test_rows_cannot_stand_for_what_is_no_table_or_a_view() -> None:
    rows = mixed_model().sample(10, seed=1)
    for node in ("pressure", "dose", "stay"):
        with pytest.raises(UsageError) as refusal:
            transport(mixed_model(), rows, node)
        assert refusal.value.code == "not-a-table", node
    with pytest.raises(UsageError) as refusal:
        transport(population(0.2).do({"t": 1}), population(0.7), "s")
    assert refusal.value.code == "intervened-model"


def test_a_study_may_say_itself_which_mechanisms_differ() -> None:
    variables = {"s": BOOLEAN, "t": BOOLEAN, "y": BOOLEAN}
    edges = ["s -> t", "s -> y", "t -> y"]
    study = study_of(variables, edges, site_specific=["s"])
    assert study.hash != study_of(variables, edges).hash
    assert study_from_canonical(study.canonical).graph.site_specific == ("s",)
    here, there = (
        model_of(study, {"s": table(study, "s", np.array([1 - share, share]))})
        for share in (0.2, 0.7)
    )
    assert transport(here, there).marginal("s")["1"] == pytest.approx(0.7)
    with pytest.raises(UsageError) as refusal:
        transport(population(0.2), population(0.7))
    assert refusal.value.code == "nothing-specific"
    with pytest.raises(UsageError, match="found 'x'; write"):
        study_of(variables, edges, site_specific=["x"])
