"""Synthetic rows: batches that cannot be seen, and counts over the whole declared domain."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protocol.errors import PeerError
from protocol.identifiers import Digest
from protocol.study.document import parse_study
from protocol.study.sections import Synthetic
from server.causal.model import Model
from server.causal.synthetic.copies import Copy
from server.estimation.fit import DRAWS, fit
from server.release import synthetic
from server.release.synthetic import (
    check_synthetic,
    data_sets,
    tally,
    tally_all,
    write_synthetic,
)
from tests.support.release_folders import alter_row
from tests.support.release_rounds import STUDY, basis_of, play_round

DIGEST = Digest(bytes(32))
SINGLE = Copy(1, 7, None)
GAPS = (
    STUDY.replace(
        'levels = ["day", "night"]', 'levels = ["day", "night"]\nother = true\nmissing = true'
    )
    .replace('kind = "boolean"', 'kind = "boolean"\nmissing = true')
    .replace('unit = "h"', 'unit = "h"\nmissing = true')
)


@pytest.fixture(scope="module")
def model() -> Model:
    basis = basis_of(play_round(GAPS))
    return fit(basis.study, basis.plan, basis.noisy, draws=20, seed=1)


def write(path: Path, model: Model) -> Path:
    write_synthetic(path, model.study, model, DIGEST, SINGLE)
    return path


def test_batches_cannot_be_seen_in_the_rows(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole.parquet", model)
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    pieces = write(tmp_path / "pieces.parquet", model)
    assert pq.ParquetFile(pieces).num_row_groups == 7
    pd.testing.assert_frame_equal(pd.read_parquet(whole), pd.read_parquet(pieces))
    assert check_synthetic(pieces, model.study, model, DIGEST, SINGLE) == "all rows drawn again"


@pytest.mark.parametrize("batch", range(7))
def test_a_change_in_any_batch_is_found(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    path = write(tmp_path / "rows.parquet", model)
    alter_row(path, 77 * batch + 5)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST, SINGLE)
    assert caught.value.code == "other-rows"


def test_rows_in_other_batches_than_the_verifiers_are_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.parquet", model)
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST, SINGLE)
    assert caught.value.code == "other-batches"


def test_rows_that_cannot_be_read_are_refused(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", model)
    spoilt = bytearray(path.read_bytes())
    spoilt[4:300] = bytes(296)  # pages; the outline at the end stays as it was
    path.write_bytes(spoilt)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST, SINGLE)
    assert caught.value.code == "not-parquet"


def test_tallies_are_the_counts_of_the_models_own_codes(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", model)
    codes = model.codes(500, seed=7)
    counted = tally(path, model.study)
    for node, column in zip(model.study.causal_graph.nodes, codes, strict=True):
        expected = np.bincount(column, minlength=model.study.variables[node].size)
        np.testing.assert_array_equal(counted[node], expected)
    assert counted["shift"].shape == (4,)  # day, night, OTHER, MISSING


@pytest.mark.parametrize(
    ("column", "values"),
    [("shift", ["day", "dusk"]), ("coffee", [0, 2]), ("sleep", [4.0, None]), ("coffee", [0, None])],
)
def test_a_value_outside_the_domain_is_refused(
    tmp_path: Path, column: str, values: list[object]
) -> None:
    table = pa.table({"shift": ["day", "day"], "coffee": [0, 1], "sleep": [4.0, 5.0]})
    position = table.column_names.index(column)
    pq.write_table(table.set_column(position, column, pa.array(values)), tmp_path / "rows.parquet")
    with pytest.raises(PeerError) as caught:
        tally(tmp_path / "rows.parquet", parse_study(STUDY))
    assert caught.value.code == "value-outside-domain"


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"shift": ["day"]}), tmp_path / "rows.parquet")
    with pytest.raises(PeerError) as caught:
        tally(tmp_path / "rows.parquet", parse_study(STUDY))
    assert caught.value.code == "other-columns"


def test_rows_without_the_studys_metadata_are_refused(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", model)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, Digest(b"\1" * 32), SINGLE)
    assert caught.value.code == "other-metadata"


@pytest.fixture(scope="module")
def several() -> Model:
    basis = basis_of(play_round(STUDY.replace("rows = 500,", "copies = 3, rows = 500,")))
    return fit(basis.study, basis.plan, basis.noisy, draws=20, seed=1)


@pytest.fixture
def folder(several: Model, tmp_path: Path) -> Path:
    for name, copy in data_sets(several.study, several).items():
        write_synthetic(tmp_path / name, several.study, several, DIGEST, copy)
    return tmp_path


def test_one_data_set_keeps_its_plain_name_seed_and_metadata(model: Model, tmp_path: Path) -> None:
    assert data_sets(model.study, model) == {"synthetic.parquet": SINGLE}
    stated = pq.read_schema(write(tmp_path / "rows.parquet", model)).metadata
    assert {key for key in stated if key.startswith(b"concause.")} == {
        f"concause.{key}".encode()
        for key in ("format", "rung", "study_hash", "model_sha256", "seed", "rows")
    }


def test_several_data_sets_say_which_draw_each_is_from(several: Model, folder: Path) -> None:
    found = data_sets(several.study, several)
    assert list(found) == [f"synthetic-00{number}.parquet" for number in (1, 2, 3)]
    for name, copy in found.items():
        frame = pd.read_parquet(folder / name)
        pd.testing.assert_frame_equal(frame, several.sample(500, copy.seed, draw=copy.draw))
        stated = pq.read_schema(folder / name).metadata
        assert stated[b"concause.draw"] == str(copy.draw).encode()
        assert stated[b"concause.seed"] == str(copy.seed).encode()
        assert stated[b"concause.copy"] == str(copy.number).encode()
        assert stated[b"concause.copies"] == b"3"
        assert "all rows" in check_synthetic(folder / name, several.study, several, DIGEST, copy)


def test_one_data_set_in_place_of_another_is_refused(several: Model, folder: Path) -> None:
    first, second, _ = data_sets(several.study, several).items()
    with pytest.raises(PeerError) as caught:
        check_synthetic(folder / second[0], several.study, several, DIGEST, first[1])
    assert caught.value.code == "other-metadata"


def test_tallies_of_all_data_sets_add_up(several: Model, folder: Path) -> None:
    counted = tally_all(folder, several.study)
    each = [tally(folder / name, several.study) for name in data_sets(several.study, several)]
    for node in several.study.variables:
        assert counted[node].sum() == 1500
        np.testing.assert_array_equal(counted[node], sum(counts[node] for counts in each))


def test_a_release_has_a_draw_for_every_copy_that_a_study_may_ask_for() -> None:
    (bound,) = (it.le for it in Synthetic.model_fields["copies"].metadata if hasattr(it, "le"))
    assert bound <= DRAWS
