"""What a reader is warned of, and what not."""

from dataclasses import replace

import numpy as np
import pytest

from server.causal.mechanisms.mechanism import Caution
from server.release.alerts import Alert, Weight, find_alerts
from server.release.answers import Answer
from server.release.basis import Basis
from server.release.marginals import Marginal
from server.release.support import Support
from tests.support.release_rounds import basis_of, play_round

CALM = Marginal("sleep", ("a", "b"), (0.5, 0.5), (0.49, 0.51), (0.01, 0.01))


@pytest.fixture(scope="module")
def basis() -> Basis:
    return basis_of(play_round())


def answer(basis: Basis, low: float, high: float) -> Answer:
    return Answer(basis.study.questions[0], (low + high) / 2, low, high, "h")


def titles(alerts: tuple[Alert, ...]) -> str:
    return "\n".join(alert.title for alert in alerts)


def test_a_clear_agreeing_effect_calls_for_no_caution(basis: Basis) -> None:
    alerts = find_alerts(basis, [answer(basis, -1.0, -0.4)], [CALM], [])
    assert [alert.weight for alert in alerts] == [Weight.NOTE]
    assert "more noise than the budget asked for" in titles(alerts)


def test_an_interval_with_zero_inside_is_a_caution(basis: Basis) -> None:
    alerts = find_alerts(basis, [answer(basis, -1.0, 0.2)], [CALM], [])
    assert alerts[0].weight is Weight.CAUTION
    assert "No effect cannot be excluded" in alerts[0].title


def test_an_effect_that_the_study_settles_is_no_finding(basis: Basis) -> None:
    known = replace(answer(basis, 0.0, 0.0), certain="The graph has no path.")
    alerts = find_alerts(basis, [known], [CALM], [])
    assert alerts[0].text == "The graph has no path."
    assert "No effect cannot be excluded" not in titles(alerts)


def test_a_ratio_with_one_inside_is_a_caution(basis: Basis) -> None:
    question = basis.study.questions[0].model_copy(
        update={"measure": "hazard-ratio", "published": None}
    )
    alerts = find_alerts(basis, [Answer(question, 0.9, 0.8, 1.2, "")], [CALM], [])
    assert alerts[0].text.startswith("A ratio of one lies inside the interval.")


def test_cautions_of_the_fit_are_shown_with_their_reason(basis: Basis) -> None:
    caution = Caution("sleep", "few-events", "Events cannot be told from noise.")
    alerts = find_alerts(basis, [], [CALM], [], [caution])
    assert alerts[0].weight is Weight.CAUTION
    assert alerts[0].title == "Reason to doubt the mechanism of sleep: few events"
    assert alerts[0].text == caution.text


def test_disagreement_with_what_was_published_is_a_caution(basis: Basis) -> None:
    alerts = find_alerts(basis, [answer(basis, 0.5, 1.0)], [CALM], [])
    assert "Not what was published" in alerts[0].title
    assert "above the published range of -0.9 to -0.5 (Invented et al. 2020)" in alerts[0].text


def test_blurred_marginals_are_named(basis: Basis) -> None:
    blurred = replace(CALM, deviation=(0.2, 0.01))
    alerts = find_alerts(basis, [answer(basis, -1.0, -0.4)], [blurred], [])
    assert "blurred" in alerts[0].title
    assert alerts[0].text.endswith("of: sleep.")


def test_dropped_sites_are_named() -> None:
    basis = basis_of(play_round(silent=("south",)))
    alerts = find_alerts(basis, [answer(basis, -1.0, -0.4)], [CALM], [])
    assert "2 of 3 sites are in this release" in titles(alerts)
    assert any("south" in alert.text for alert in alerts)


def test_a_row_count_within_its_noise_is_a_caution(basis: Basis) -> None:
    values = np.zeros_like(basis.noisy.values)
    empty = replace(basis, noisy=replace(basis.noisy, values=values))
    assert "drowns in the noise" in find_alerts(empty, [], [], [])[0].title


def test_cautions_come_before_notes(basis: Basis) -> None:
    alerts = find_alerts(basis, [answer(basis, -1.0, 0.2), answer(basis, 0.5, 1.0)], [CALM], [])
    weights = [alert.weight for alert in alerts]
    assert weights == sorted(weights, key=lambda weight: weight is Weight.NOTE)


@pytest.mark.parametrize(("share", "weight"), [(0.3, Weight.CAUTION), (0.02, Weight.NOTE)])
def test_mechanisms_with_rare_combinations_are_named_by_their_weight(
    basis: Basis, share: float, weight: Weight
) -> None:
    supports = [Support("sleep", 4, 1, share), Support("coffee", 2, 0, 0.0)]
    alerts = find_alerts(basis, [], [CALM], supports)
    (found,) = [alert for alert in alerts if "too rare" in alert.title]
    assert found.weight is weight
    assert f"sleep: 1 of 4 combinations, {share:.0%} of the data" in found.text
    assert "coffee" not in found.text


def test_of_many_mechanisms_the_five_weakest_are_listed(basis: Basis) -> None:
    supports = [Support(f"v{index}", 4, 1, index / 100) for index in range(8)]
    alerts = find_alerts(basis, [], [CALM], supports)
    (found,) = [alert for alert in alerts if "too rare" in alert.title]
    assert "v7" in found.text
    assert "v2" not in found.text
    assert found.text.endswith("; 3 more.")
