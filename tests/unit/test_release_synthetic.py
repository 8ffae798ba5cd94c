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
from server.causal.model import Model
from server.estimation.fit import fit
from server.release import synthetic
from server.release.synthetic import check_synthetic, tally, write_synthetic
from tests.support.release_folders import alter_row
from tests.support.release_rounds import STUDY, basis_of, play_round

DIGEST = Digest(bytes(32))
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
    write_synthetic(path, model.study, model, DIGEST)
    return path


def test_batches_cannot_be_seen_in_the_rows(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole.parquet", model)
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    pieces = write(tmp_path / "pieces.parquet", model)
    assert pq.ParquetFile(pieces).num_row_groups == 7
    pd.testing.assert_frame_equal(pd.read_parquet(whole), pd.read_parquet(pieces))
    assert check_synthetic(pieces, model.study, model, DIGEST) == "all rows drawn again"


@pytest.mark.parametrize("batch", range(7))
def test_a_change_in_any_batch_is_found(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    path = write(tmp_path / "rows.parquet", model)
    alter_row(path, 77 * batch + 5)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST)
    assert caught.value.code == "other-rows"


def test_rows_in_other_batches_than_the_verifiers_are_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.parquet", model)
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 77)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST)
    assert caught.value.code == "other-batches"


def test_rows_that_cannot_be_read_are_refused(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", model)
    spoilt = bytearray(path.read_bytes())
    spoilt[4:300] = bytes(296)  # pages; the outline at the end stays as it was
    path.write_bytes(spoilt)
    with pytest.raises(PeerError) as caught:
        check_synthetic(path, model.study, model, DIGEST)
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
        check_synthetic(path, model.study, model, Digest(b"\1" * 32))
    assert caught.value.code == "other-metadata"
