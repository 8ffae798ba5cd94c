import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import StorageError, UsageError
from server.causal.files import strict_json
from server.causal.mechanisms.mechanism import (
    WHOLE,
    Caution,
    Censoring,
    RegressionMechanism,
    TableMechanism,
    Terms,
    apportion,
)
from server.causal.model import Model, load
from tests.support.causal_models import DRAWS, mixed_model, visits_model
from tests.support.networks import mixed

TEXT = mixed().model().to_json()


def document() -> Any:
    return json.loads(TEXT)


def test_model_comes_back_bit_for_bit() -> None:
    original, again = mixed().model(), Model.from_json(TEXT)
    assert again.to_json() == TEXT
    assert again.study.hash == original.study.hash
    assert again.provenance == original.provenance
    for node, mechanism in original.mechanisms.items():
        found = again.mechanisms[node]
        assert isinstance(found, TableMechanism)
        assert isinstance(mechanism, TableMechanism)
        assert found.table.tobytes() == mechanism.table.tobytes()
        assert found.parts.tobytes() == mechanism.parts.tobytes()
        assert found.support.tobytes() == mechanism.support.tobytes()
        assert found.parents == mechanism.parents


def test_model_that_came_back_samples_the_same_rows() -> None:
    original, again = mixed().model(), Model.from_json(TEXT)
    assert again.codes(100, seed=3).tobytes() == original.codes(100, seed=3).tobytes()
    assert again.effect("blood", "fever", "A", "B") == original.effect("blood", "fever", "A", "B")


def test_draws_are_parts_per_million_that_sum_exactly() -> None:
    tables = np.random.default_rng(1).dirichlet(np.ones(7), size=(50, 3))
    parts = apportion(tables)
    assert (parts.sum(axis=-1) == WHOLE).all()
    assert np.abs(parts / WHOLE - tables).max() < 1 / WHOLE


def test_ties_between_remainders_go_to_the_lower_code() -> None:
    assert apportion(np.full((1, 3), 1 / 3)).tolist() == [[333_334, 333_333, 333_333]]


def test_release_folder_and_file_both_load(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(TEXT, encoding="utf-8")
    assert load(tmp_path).to_json() == load(str(tmp_path / "model.json")).to_json() == TEXT


@pytest.mark.parametrize("name", ["absent", "."])
def test_path_without_a_model_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError) as refusal:
        load(tmp_path / name)
    assert refusal.value.code == "model-unreadable"


def test_model_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError):
        load(tmp_path)


def test_view_under_an_intervention_is_not_written() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed().model().do({"event": 1}).to_json()
    assert refusal.value.code == "intervened-model"


def set_in(*path: str | int, to: object) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def without(*path: str | int) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


DOSE = ("mechanisms", 2)
CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "another version": (set_in("format", to="concause-model/2"), "format"),
    "a field too many": (set_in("extra", to=1), "the file"),
    "a field too few": (without("provenance"), "the file"),
    "a study that is no text": (set_in("study", to={}), "study"),
    "a study that is not canonical": (set_in("study", to="{ }"), "study"),
    "another study's hash": (set_in("provenance", "study_hash", to="0" * 64), "study_hash"),
    "a hash in capitals": (set_in("provenance", "plan_hash", to="A" * 64), "plan_hash"),
    "a short hash": (set_in("provenance", "plan_hash", to="ab"), "plan_hash"),
    "provenance of another kind": (set_in("provenance", to=[]), "provenance"),
    "no contributors": (set_in("provenance", "contributors", to=0), "contributors"),
    "true for a number": (set_in("provenance", "contributors", to=True), "contributors"),
    "mechanisms of another kind": (set_in("mechanisms", to={}), "mechanisms"),
    "a mechanism too few": (without("mechanisms", 0), "mechanisms"),
    "a mechanism's field too many": (set_in(*DOSE, "more", to=1), "mechanisms[dose]"),
    "a mechanism in another's place": (set_in(*DOSE, "node", to="event"), "node"),
    "an unknown kind": (set_in(*DOSE, "kind", to="spline"), "kind"),
    "other parents": (set_in(*DOSE, "parents", to=["age"]), "parents"),
    "parents in another order": (set_in(*DOSE, "parents", to=["blood", "age"]), "parents"),
    "a row too few": (without(*DOSE, "table", 0), "table"),
    "a code too few": (without(*DOSE, "table", 0, 0), "table"),
    "a row that is no list": (set_in(*DOSE, "table", 0, to=1.0), "table"),
    "a table that is no list": (set_in(*DOSE, "table", to="x"), "table"),
    "a negative probability": (set_in(*DOSE, "table", 0, to=[-0.5, 0.5, 0.5, 0.5]), "table"),
    "a row that does not sum to 1": (set_in(*DOSE, "table", 0, to=[0.5, 0.5, 0.5, 0.5]), "table"),
    "text for a probability": (set_in(*DOSE, "table", 0, 0, to="0.5"), "table"),
    "an integer for a probability": (set_in(*DOSE, "table", 0, to=[1, 0.0, 0.0, 0.0]), "table"),
    "a negative support": (set_in(*DOSE, "support", 0, to=-1.0), "support"),
    "a support too few": (without(*DOSE, "support", 0), "support"),
    "a draw too few": (without(*DOSE, "draws", 0), "mechanisms"),
    "draws of another shape": (without(*DOSE, "draws", 0, 0), "draws"),
    "draws that do not sum": (set_in(*DOSE, "draws", 0, 0, to=0), "draws"),
    "a negative part": (set_in(*DOSE, "draws", 0, 0, to=-1), "draws"),
    "a part beyond 64 bits": (set_in(*DOSE, "draws", 0, 0, to=2**70), "draws"),
    "a fraction for a part": (set_in(*DOSE, "draws", 0, 0, to=0.5), "draws"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_file_with_a_change_is_refused_by_its_place(change: str) -> None:
    altered = document()
    alter, place = CHANGES[change]
    alter(altered)
    with pytest.raises(UsageError) as refusal:
        Model.from_json(json.dumps(altered))
    assert refusal.value.code == "model-invalid"
    assert place in refusal.value.cause


def test_number_too_large_for_a_double_is_refused() -> None:
    altered = TEXT.replace('"support":[100.0', '"support":[1e999', 1)
    with pytest.raises(UsageError, match="finite"):
        Model.from_json(altered)


def test_too_few_draws_are_refused() -> None:
    altered = document()
    for mechanism in altered["mechanisms"]:
        mechanism["draws"] = mechanism["draws"][:5]
    with pytest.raises(UsageError, match="draws"):
        Model.from_json(json.dumps(altered))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", TEXT[:-3], '{"format": 1, "format": 2}', TEXT.replace("[", "[NaN,", 1)],
    ids=["nothing", "a list", "null", "an end too early", "cut off", "a field twice", "NaN"],
)
def test_text_that_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Model.from_json(text)
    assert refusal.value.code == "model-invalid"


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(UsageError):
        Model.from_json("[" * 100_000)


def test_file_beyond_the_bound_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MOST_CHARACTERS", 10)
    with pytest.raises(UsageError, match="at most 10"):
        Model.from_json(TEXT)


def every_kind() -> Model:
    """Return a model with all that the file can hold."""
    model = mixed_model()
    visits, stay = model.mechanisms["visits"], model.mechanisms["stay"]
    assert isinstance(visits, TableMechanism)
    assert isinstance(stay, TableMechanism)
    terms = Terms(("(constant)", "age"), np.array([0.1, 1 / 3]), np.full((DRAWS, 2), 0.7))
    ends = np.array([[0.25, 0.75], [0.5, 0.5]])
    censoring = Censoring(ends, apportion(np.repeat(ends[None], DRAWS, axis=0)))
    changed = {
        "visits": replace(visits, terms=terms),
        "stay": replace(stay, censoring=censoring),
    }
    caution = Caution("pressure", "moments-below-noise", "The noise is larger.")
    return replace(model, mechanisms={**model.mechanisms, **changed}, cautions=(caution,))


FULL = every_kind().to_json()
VISITS = visits_model().to_json()


def same(one: object, other: object) -> bool:
    """Return whether values are the same, arrays bit for bit."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in names
        )
    return one == other


def test_models_of_every_kind_come_back_bit_for_bit() -> None:
    for original in (every_kind(), visits_model()):
        text = original.to_json()
        again = Model.from_json(text)
        assert again.to_json() == text
        assert again.cautions == original.cautions
        for node in original.mechanisms:
            assert same(again.mechanisms[node], original.mechanisms[node]), node
        for name in original.placements:
            assert same(again.placements[name], original.placements[name])


def test_sample_of_a_model_that_came_back_is_the_same() -> None:
    again = Model.from_json(FULL)
    assert again.sample(200, seed=3).equals(every_kind().sample(200, seed=3))
    assert again.sample(200, seed=3, draw=7).equals(every_kind().sample(200, seed=3, draw=7))


def test_visits_share_their_numbers_in_the_file_and_in_memory() -> None:
    kinds = {
        one["node"]: one.get("shared_with", one["kind"]) for one in json.loads(VISITS)["mechanisms"]
    }
    assert (kinds["cd4[0]"], kinds["cd4[1]"], kinds["cd4[2]"]) == ("table", "table", "cd4[1]")
    assert (kinds["load[2]"], kinds["low[2]"]) == ("load[1]", "rule")
    found = Model.from_json(VISITS).mechanisms
    second, third = found["load[1]"], found["load[2]"]
    assert isinstance(second, RegressionMechanism)
    assert isinstance(third, RegressionMechanism)
    assert third.coefficients is second.coefficients
    assert third.regressors == ("load[1]", "drug[1]")


def place_of(text: str, node: str) -> tuple[str, int]:
    nodes = [one["node"] for one in json.loads(text)["mechanisms"]]
    return "mechanisms", nodes.index(node)


PRESSURE, RULE, COUNTS, STAY = (
    place_of(FULL, node) for node in ("pressure", "dose", "visits", "stay")
)
SECOND, THIRD = place_of(VISITS, "cd4[1]"), place_of(VISITS, "cd4[2]")
PLACED = ("placements", 0)
MIXED_CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "a table for a regression": (set_in(*PRESSURE, "kind", to="table"), "kind"),
    "a regression for a rule": (set_in(*RULE, "kind", to="regression"), "kind"),
    "another rule": (set_in(*RULE, "value", to="age * 2"), "value"),
    "a rule with a table": (set_in(*RULE, "table", to=[]), "mechanisms[dose]"),
    "another response": (set_in(*PRESSURE, "response", to="poisson"), "response"),
    "rows in the place of regressors": (set_in(*PRESSURE, "rows", to=["dose"]), "rows"),
    "a regressor too few": (set_in(*PRESSURE, "regressors", to=["dose"]), "regressors"),
    "a coefficient too few": (without(*PRESSURE, "coefficients", 3, 0), "coefficients"),
    "a draw of coefficients too few": (without(*PRESSURE, "coefficients", 3), "scale"),
    "a scale too few": (without(*PRESSURE, "scale", 3, 0), "scale"),
    "a negative scale": (set_in(*PRESSURE, "scale", 0, 0, to=-1.0), "scale"),
    "bounds the wrong way": (set_in(*PRESSURE, "bounds", to=[1.0, 0.0]), "bounds"),
    "one bound": (set_in(*PRESSURE, "bounds", to=[1.0]), "bounds"),
    "a negative support of a regression": (set_in(*PRESSURE, "support", 0, to=-1.0), "support"),
    "terms without names": (without(*COUNTS, "terms", "names"), "terms"),
    "a term that is no text": (set_in(*COUNTS, "terms", "names", 0, to=1), "terms.names"),
    "names that are no list": (set_in(*COUNTS, "terms", "names", to="age"), "terms.names"),
    "no terms at all": (set_in(*COUNTS, "terms", "names", to=[]), "terms.names"),
    "a draw of terms too few": (without(*COUNTS, "terms", "draws", 0), "terms.draws"),
    "an estimate of terms too few": (without(*COUNTS, "terms", "estimate", 0), "terms.estimate"),
    "terms of a plain table": (set_in(*STAY, "terms", to={}), "mechanisms[stay]"),
    "censoring of a plain table": (set_in(*COUNTS, "censoring", to={}), "mechanisms[visits]"),
    "censoring that does not sum": (
        set_in(*STAY, "censoring", "table", 0, to=[0.5, 0.6]),
        "censoring.table",
    ),
    "a draw of censoring too few": (without(*STAY, "censoring", "draws", 0), "censoring.draws"),
    "a field of censoring too many": (set_in(*STAY, "censoring", "more", to=1), "censoring"),
    "placements that are no list": (set_in("placements", to={}), "placements"),
    "a placement of no variable": (set_in(*PLACED, "variable", to="ago"), "placements[ago]"),
    "a placement of levels": (set_in(*PLACED, "variable", to="Sex"), "placements[Sex]"),
    "placements out of order": (set_in(*PLACED, "variable", to="zzz"), "order of names"),
    "a share too few": (without(*PLACED, "shares", 0, 0), "placements[age].shares"),
    "a draw of shares too few": (without(*PLACED, "shares", 0), "placements[age].shares"),
    "shares that do not sum": (set_in(*PLACED, "shares", 0, 0, to=0.9), "placements[age].shares"),
    "a caution of no node": (set_in("cautions", 0, "node", to="presure"), "cautions.node"),
    "a caution's code in capitals": (set_in("cautions", 0, "code", to="Low"), "cautions.code"),
    "a caution without words": (set_in("cautions", 0, "text", to=""), "cautions.text"),
    "a caution's field too few": (without("cautions", 0, "text"), "cautions"),
    "cautions that are no list": (set_in("cautions", to={}), "cautions"),
}
VISIT_CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "a stranger to share with": (set_in(*THIRD, "shared_with", to="load[1]"), "shared_with"),
    "a later one to share with": (set_in(*THIRD, "shared_with", to="cd4[2]"), "shared_with"),
    "the first visit to share with": (set_in(*THIRD, "shared_with", to="cd4[0]"), "shared_with"),
    "a list to share with": (set_in(*THIRD, "shared_with", to=["cd4[1]"]), "shared_with"),
    "nothing to share with": (
        set_in(*SECOND, to={
            "node": "cd4[1]", "kind": "shared", "parents": ["cd4[0]", "drug[0]"],
            "shared_with": "cd4[0]",
        }),
        "a mechanism of its own",
    ),
    "sharing and numbers": (set_in(*THIRD, "table", to=[]), "mechanisms[cd4[2]]"),
    "sharing with other parents": (set_in(*THIRD, "parents", to=["cd4[1]"]), "parents"),
}  # fmt: skip


@pytest.mark.parametrize("change", MIXED_CHANGES)
def test_file_of_every_kind_with_a_change_is_refused_by_its_place(change: str) -> None:
    refused(FULL, *MIXED_CHANGES[change])


@pytest.mark.parametrize("change", VISIT_CHANGES)
def test_file_of_visits_with_a_change_is_refused_by_its_place(change: str) -> None:
    refused(VISITS, *VISIT_CHANGES[change])


def refused(text: str, alter: Callable[[Any], None], place: str) -> None:
    altered = json.loads(text)
    alter(altered)
    with pytest.raises(UsageError) as refusal:
        Model.from_json(json.dumps(altered))
    assert refusal.value.code == "model-invalid"
    assert place in refusal.value.cause
