import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import StorageError, UsageError
from server.causal import strict_json
from server.causal.mechanism import WHOLE, apportion
from server.causal.model import Model, load
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
