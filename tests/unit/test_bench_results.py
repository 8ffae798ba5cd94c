"""Scores of the utility benchmark: how they are measured, kept, compared and shown."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bench.harness import Measurement
from bench.utility.figure import Chart, drawing
from bench.utility.measures import Score, average, score
from bench.utility.results import Cell, digest_of, kept_or_made
from bench.utility.table import HEADER, markdown, rows_of, target_rows
from bench.utility.targets import Comparison, compared, measurements
from bench.utility.world import Answer, Contrast, Effects, Marginal, Records, Sites
from protocol.study.study import Study

CELL = Cell("asia", 10_000, 1.0, "ours, 10 sites", 0)
SCORE = Score(0.02, 0.1, 0.01, 0.95, 0.08, 1.5)


@dataclass(frozen=True)
class Known:
    truth: Effects
    marginals: tuple[Marginal, ...]
    contrasts: tuple[Contrast, ...] = ()
    name: str = "known"

    def study(self, epsilon: float, sites: Sites) -> Study:
        raise NotImplementedError

    def records(self, rows: int, seed: int) -> Records:
        raise NotImplementedError


def test_a_score_says_errors_coverage_and_width() -> None:
    world = Known(np.array([0.1, 0.0]), (np.array([0.5, 0.5]),))
    answer = Answer(
        effects=np.array([0.2, -0.3]),
        low=np.array([0.1, -0.5]),
        high=np.array([0.3, -0.1]),
        marginals=[np.array([0.6, 0.4])],
        seconds=2.0,
    )
    found = score(world, answer)
    assert found.effect_error == pytest.approx(0.2)
    assert found.largest_error == pytest.approx(0.3)
    assert found.family_error == pytest.approx(0.1)
    assert found.coverage == pytest.approx(0.5)
    assert found.width == pytest.approx(0.3)


def test_an_arm_without_intervals_has_no_coverage() -> None:
    none = np.array([np.nan])
    answer = Answer(np.array([0.2]), none, none, [], 2.0)
    found = score(Known(np.array([0.1]), ()), answer)
    assert np.isnan([found.coverage, found.width, found.family_error]).all()
    assert Score.from_json(found.to_json()).effect_error == found.effect_error
    assert found.to_json()["coverage"] is None


def test_scores_are_averaged_measure_by_measure() -> None:
    assert average([SCORE, replace(SCORE, width=0.1)]).width == pytest.approx(0.09)
    with pytest.raises(ValueError, match="at least one score"):
        average([])


def test_a_score_is_kept_until_a_source_changes(tmp_path: Path) -> None:
    made: list[Score] = []

    def make() -> Score:
        made.append(SCORE)
        return SCORE

    for _ in range(2):
        assert kept_or_made(CELL, ("bench/utility/ours.py",), make, tmp_path) == SCORE
    assert len(made) == 1
    kept_or_made(CELL, ("bench/utility/ours.py", "bench/utility/rounds.py"), make, tmp_path)
    assert len(made) == 2


def test_a_hash_of_sources_covers_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "a.py"
    file.write_text("x = 1\n")
    digest_of.cache_clear()
    first = digest_of(("folder",), tmp_path)
    file.write_text("x = 2\n")
    digest_of.cache_clear()
    second = digest_of(("folder",), tmp_path)
    file.rename(tmp_path / "folder" / "b.py")
    digest_of.cache_clear()
    assert len({first, second, digest_of(("folder",), tmp_path)}) == 3
    digest_of.cache_clear()


def test_ratios_are_of_the_seeds_that_both_arms_have() -> None:
    results = {
        replace(CELL, seed=0): SCORE,
        replace(CELL, seed=1): replace(SCORE, effect_error=9.0),
        replace(CELL, arm="peer"): replace(SCORE, effect_error=0.04),
        replace(CELL, arm="stopped", seed=1): replace(SCORE, effect_error=np.nan),
    }
    (found,) = compared(results, _effects_against("peer"), ("asia", "alarm"))
    assert found.ratio == pytest.approx(0.5)
    assert found.met
    assert not list(compared(results, _effects_against("stopped"), ("asia",)))


def test_targets_are_only_printed_for_what_was_run() -> None:
    found = measurements({CELL: SCORE, replace(CELL, arm="mst"): replace(SCORE, effect_error=0.1)})
    names = [one.name for one in found]
    assert [name for name in names if "coverage" in name] == [
        "coverage of 95 % intervals, asia, epsilon 1, N = 10k"
    ]
    ratio = next(one for one in found if "mean ratio" in one.name)
    assert ratio.name == "effects, mean ratio to the better of mst, epsilon 1, N = 10k"
    assert ratio.value == pytest.approx(0.2)


@pytest.mark.parametrize(("value", "met"), [(0.91, False), (0.95, True), (0.99, False)])
def test_a_band_is_met_inside_only(value: float, met: bool) -> None:
    found = Measurement("coverage", value, "", target=0.92, targets_ratio=False, target_most=0.98)
    assert found.met is met
    assert found.to_json()["target_most"] == 0.98
    assert found.target_text == "0.92 to 0.98"


def test_tables_are_blank_where_there_is_no_number() -> None:
    results = {CELL: replace(SCORE, coverage=np.nan)}
    (row,) = rows_of(results)
    assert row == (
        "asia",
        "10k",
        "1",
        CELL.arm,
        "1",
        "0.0200",
        "0.100",
        "0.0100",
        "",
        "0.080",
        "1.50",
    )
    assert markdown(HEADER, [row]).count("\n") == 3
    (target,) = target_rows([Measurement("fit", 1.0, "s", target=2, targets_ratio=False)])
    assert target[-2:] == (">= 2", "no")


@pytest.mark.parametrize("logarithmic", [True, False])
def test_a_chart_has_a_panel_per_world_and_size(logarithmic: bool) -> None:
    results = {
        replace(CELL, world=world, rows=rows, epsilon=epsilon): SCORE
        for world in ("asia", "alarm")
        for rows in (10_000, 100_000)
        for epsilon in (0.5, 1.0)
    }
    root = ET.fromstring(drawing(results, Chart("Error", _effect, logarithmic)))  # noqa: S314
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{svg}svg"
    assert len(root.findall(f"{svg}g")) == 4
    assert len(root.findall(f"{svg}g/{svg}circle")) == 8


def _effect(one: Score) -> float:
    return one.effect_error


def _effects_against(peer: str) -> Comparison:
    measure: Callable[[Score], float] = _effect
    return Comparison("effects", measure, peer, 0.5)
