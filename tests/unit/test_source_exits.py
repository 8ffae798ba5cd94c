"""Survival variables: two columns, one code."""

from pathlib import Path
from typing import Any

import pytest

from client.source.site_table import Mapping
from protocol.errors import UsageError
from tests.support.tables_records import Cell, Records, records
from tests.support.tables_source import open_records, single_study

STAY = 'kind = "survival"\nedges = [0, 30, 90]'
INF, NAN = float("inf"), float("nan")


def exits(
    times: list[Cell],
    events: list[Cell],
    folder: Path,
    *,
    types: tuple[str, str] = ("double", "int64"),
    **mapping: Any,
) -> list[int]:
    """Return the counts: event [0, 30), event [30, 90], censored [0, 30), censored [30, 90]."""
    names = mapping.get("time", "x_time"), mapping.get("event", "x_event")
    columns = {
        name: (type_, cells)
        for name, type_, cells in zip(names, types, (times, events), strict=True)
    }
    with open_records(
        records(**columns),
        folder,
        study=single_study(STAY),
        mapping=Mapping.model_validate({"x": mapping}),
        unit=None,
    ) as source:
        return [int(count) for count in source.counts([("x",)])[("x",)]]


def test_exits_are_counted_by_interval_and_way(tmp_path: Path) -> None:
    times: list[Cell] = [0.0, 29.9, 30.0, 89.9, 0.0, 30.0]
    assert exits(times, [1, 1, 1, 1, 0, 0], tmp_path) == [2, 2, 1, 1]


def test_the_last_interval_includes_its_end_and_later_times_are_censored(tmp_path: Path) -> None:
    assert exits([90.0, 90.1, INF, 90.0], [1, 1, 1, 0], tmp_path) == [0, 1, 0, 3]


@pytest.mark.parametrize("time", [None, NAN, -0.1, -INF])
@pytest.mark.parametrize("event", [1, 0, None])
def test_a_row_without_a_time_from_zero_on_does_not_count(
    time: Cell, event: Cell, tmp_path: Path
) -> None:
    assert exits([time, 40.0], [event, 1], tmp_path) == [0, 1, 0, 0]


@pytest.mark.parametrize("event", [None, 2, -1])
@pytest.mark.parametrize("time", [40.0, 500.0])
def test_a_row_without_a_known_event_does_not_count(
    time: Cell, event: Cell, tmp_path: Path
) -> None:
    assert exits([time, 1.0], [event, 0], tmp_path) == [0, 0, 1, 0]


def test_a_site_that_maps_no_words_counts_nobody_rather_than_all_as_censored(
    tmp_path: Path,
) -> None:
    words: list[Cell] = ["dead", "alive"]
    assert exits([1.0, 40.0], words, tmp_path, types=("double", "string")) == [0, 0, 0, 0]


def test_a_row_without_an_exit_is_left_out_of_every_count(tmp_path: Path) -> None:
    table = records(x_time=("double", [1.0, None, 2.0]), x_event=("int64", [1, 1, 7]))
    study, mapping = single_study(STAY), Mapping()
    with open_records(table, tmp_path, study=study, mapping=mapping, unit=None) as source:
        assert source.counts([()])[()] == 1


def test_times_in_text_are_read_as_numbers(tmp_path: Path) -> None:
    times: list[Cell] = ["1.5", " 3e1 ", "soon", "-4", "nan", ""]
    assert exits(times, [1] * 6, tmp_path, types=("string", "int64")) == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("type_", "events"),
    [
        ("bool", [True, False, None]),
        ("double", [1.0, 0.0, NAN]),
        ("string", ["1", "0", "?"]),
        ("string", ["TRUE", "false", ""]),
        ("string", ["event", "censored", "Event"]),
    ],
)
def test_events_are_read_from_every_usual_form(
    type_: str, events: list[Cell], tmp_path: Path
) -> None:
    assert exits([1.0, 2.0, 3.0], events, tmp_path, types=("double", type_)) == [1, 0, 1, 0]


def test_the_site_names_its_columns_and_its_words(tmp_path: Path) -> None:
    found = exits(
        [1.0, 40.0, 3.0, 50.0],
        ["died", "alive", "lost", "1"],
        tmp_path,
        types=("double", "string"),
        time="days",
        event="status",
        values={"died": "event", "alive": "censored", "1": "censored"},
    )
    assert found == [1, 0, 0, 2]  # the site's own word comes first


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    table = records(x_time=("double", [1.0]))
    study, mapping = single_study(STAY), Mapping()
    source = open_records(table, tmp_path, study=study, mapping=mapping, unit=None)
    with source, pytest.raises(UsageError) as refused:
        source.counts([()])
    assert refused.value.code == "column-missing"


def test_a_check_says_what_cannot_be_read(tmp_path: Path) -> None:
    table = records(
        x_time=("double", [1.0, -1.0, None, 200.0, 5.0, 6.0]),
        x_event=("string", ["1", "1", "0", "1", "gone", None]),
    )
    study, mapping = single_study(STAY), Mapping()
    with open_records(table, tmp_path, study=study, mapping=mapping, unit=None) as source:
        readiness = source.readiness()
    (found,) = readiness.variables
    assert (found.column, found.type) == ("x_time + x_event", "float64 + string")
    assert (found.missing, found.unknown, found.clamped, found.left_out) == (2, 2, 0, 4)
    assert found.examples == ("-1.0", "gone")
    hints = "\n".join(readiness.hints)
    assert "'-1.0', 'gone'" in hints
    assert 'write "event" or "censored" for each word in [mapping.x.values]' in hints
    assert "x has 2 value(s) in 2 row(s) (33.3%), left out, that are no time from 0 on" in hints
    assert "no time, or nothing on the event, in 2 row(s) (33.3%), which are left out" in hints
    assert "4 row(s) are left out" in hints


def test_a_check_names_columns_that_are_not_there(tmp_path: Path) -> None:
    table = Records(records(x_time=("double", [1.0]), y=("int64", [1])).columns)
    study, mapping = single_study(STAY), Mapping()
    with open_records(table, tmp_path, study=study, mapping=mapping, unit=None) as source:
        readiness = source.readiness()
    assert not readiness.ready
    assert "x lacks one of the columns x_time + x_event" in readiness.hints[0]
