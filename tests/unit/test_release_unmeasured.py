"""A release of a study with an unmeasured cause: fitted, verified, drawn, and seen past."""

from pathlib import Path

import numpy as np
import pytest

from server.causal.model import Model, load
from server.release.verify import verify_release
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round

# Of coffee and sleep something unmeasured is a cause; what coffee does goes by way of the shift.
ARROWS = '["coffee -> shift", "shift -> sleep", "coffee <-> sleep"]'
TEXT = STUDY.replace('["shift -> coffee", "shift -> sleep", "coffee -> sleep"]', ARROWS)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unmeasured") / "release"
    write(folder, play_round(TEXT))
    return folder


def by_the_formula(model: Model, treated: int) -> float:
    """Sum over m of P(m | t) sum over t' of P(t') E[y | t', m] (Pearl 1995)."""
    coffee, shift, sleep = (model.mechanisms[node].table for node in ("coffee", "shift", "sleep"))  # type: ignore[union-attr]
    means = sleep @ np.array([4.0, 6.0, 8.0])  # by coffee, shift
    return float(shift[treated] @ (coffee @ means))


def test_release_with_an_unmeasured_cause_verifies(release: Path) -> None:
    verify_release(release)
    assert 'class="edge unmeasured"' in (release / "report.html").read_text(encoding="utf-8")
    assert "Something unmeasured causes both coffee and sleep" in (
        release / "report.html"
    ).read_text(encoding="utf-8")


def test_effect_in_a_release_is_that_of_the_front_door(release: Path) -> None:
    model = load(release)
    found = model.effect("coffee", "sleep")
    expected = by_the_formula(model, 1) - by_the_formula(model, 0)
    assert model.study.family_of("sleep").parents == ("coffee", "shift")
    assert found.estimate == pytest.approx(expected, abs=0.05)  # placements move means in bins
    assert found.low < found.estimate < found.high
