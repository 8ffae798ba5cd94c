"""Settings of a site's data: files found, formats told, mappings checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from client.source.site_table import Mapping, SiteData, check_mapping, data_files, data_format
from protocol.errors import UsageError
from tests.support.tables_source import single_study
from tests.support.tables_study import MAPPING, ward_study


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return [(folder / name).resolve() for name in names]


def test_one_file_or_a_pattern_is_found_in_the_order_of_names(tmp_path: Path) -> None:
    b, a, _ = touch(tmp_path, "b.csv", "a.csv", "c.parquet")
    assert data_files(SiteData(path=str(a))) == (a,)
    assert data_files(SiteData(path=str(tmp_path / "*.csv"))) == (a, b)
    assert data_files(SiteData(path="?.csv").anchored(tmp_path)) == (a, b)


def test_a_relative_path_is_found_from_where_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = touch(tmp_path, "a.csv")
    monkeypatch.chdir(tmp_path)
    assert data_files(SiteData(path="a.csv")) == (a,)
    assert data_files(SiteData(path="*.csv")) == (a,)


def test_an_absolute_path_stays_where_it_is_anchored() -> None:
    assert SiteData(path="/data/x.csv").anchored(Path("/site")).path == "/data/x.csv"


def test_links_are_followed_so_that_the_file_itself_is_pinned(tmp_path: Path) -> None:
    (real,) = touch(tmp_path, "real.csv")
    (tmp_path / "link.csv").symlink_to(real)
    assert data_files(SiteData(path=str(tmp_path / "link.csv"))) == (real,)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_file_under_two_names_is_refused(
    link: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    (real,) = touch(tmp_path, "real.csv")
    link(tmp_path / "link.csv", real)
    with pytest.raises(UsageError) as refused:
        data_files(SiteData(path=str(tmp_path / "*.csv")))
    assert refused.value.code == "data-file-twice"
    assert str(tmp_path) not in str(refused.value)
    assert data_files(SiteData(path=str(tmp_path / "r*.csv"))) == (real,)


@pytest.mark.parametrize("name", ["missing.csv", "*.nothing", "folder"])
def test_a_missing_file_is_refused_without_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as refused:
        data_files(SiteData(path=str(tmp_path / name)))
    assert refused.value.code == "data-file-missing"
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("name", ["a[1].csv", "what?.csv"])
def test_a_file_whose_name_the_engine_would_expand_is_refused(name: str, tmp_path: Path) -> None:
    touch(tmp_path, name)
    with pytest.raises(UsageError) as refused:
        data_files(SiteData(path=str(tmp_path / name)))
    assert refused.value.code == "data-file-name"


@pytest.mark.parametrize(
    ("names", "format_", "told"),
    [
        (["a.parquet", "b.PARQUET"], None, "parquet"),
        (["a.csv"], None, "csv"),
        (["a.txt"], "csv", "csv"),
    ],
)
def test_the_format_is_told_by_the_settings_or_the_suffix(
    names: list[str], format_: Any, told: str
) -> None:
    files = tuple(map(Path, names))
    assert data_format(SiteData(path="-", format=format_), files) == told


@pytest.mark.parametrize("names", [["a.csv", "b.parquet"], ["a.txt"], ["a"]])
def test_an_unknown_format_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        data_format(SiteData(path="-"), tuple(map(Path, names)))
    assert refused.value.code == "data-format-unknown"


def test_an_unlisted_variable_is_in_the_column_of_its_name() -> None:
    assert MAPPING.column_of("ward") == "ward_name"
    assert MAPPING.column_of("age") == "age"
    assert MAPPING.column_of("smoker") == "smoker"
    assert MAPPING.values_of("smoker") == {}


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"wrad": {"column": "w"}}, "mapping-of-unknown-variable"),
        ({"ward": {"values": {"N": "nrth"}}}, "mapping-to-unknown-label"),
        ({"grade": {"values": {"": "MISSING"}}}, "mapping-to-unknown-label"),
        ({"grade": {"time": "t"}}, "mapping-of-wrong-columns"),
        ({"grade": {"event": "e"}}, "mapping-of-wrong-columns"),
    ],
)
def test_a_mapping_that_does_not_fit_the_study_is_refused(mapping: Any, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_mapping(Mapping.model_validate(mapping), ward_study())
    assert refused.value.code == code
    assert "nrth" not in str(refused.value)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        SiteData.model_validate({"path": "a.csv", "unit": "id"})
    with pytest.raises(ValidationError):
        Mapping.model_validate({"ward": {"name": "w"}})


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"x": {"column": "t"}}, "mapping-of-wrong-columns"),
        ({"x": {"values": {"died": "1"}}}, "mapping-to-unknown-label"),
        ({"x": {"values": {"died": "event [0, 30)"}}}, "mapping-to-unknown-label"),
    ],
)
def test_a_survival_variable_is_mapped_by_time_and_event(mapping: Any, code: str) -> None:
    study = single_study('kind = "survival"\nedges = [0, 30, 90]')
    with pytest.raises(UsageError) as refused:
        check_mapping(Mapping.model_validate(mapping), study)
    assert refused.value.code == code


def test_a_survival_variable_is_in_two_columns_of_its_name() -> None:
    assert Mapping().exit_columns_of("x") == ("x_time", "x_event")
    mapping = Mapping.model_validate({"x": {"time": "days"}})
    assert mapping.exit_columns_of("x") == ("days", "x_event")
