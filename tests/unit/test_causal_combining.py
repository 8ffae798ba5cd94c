"""Combining rules: by hand, elementwise, in the types that came in, and every refusal."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import concause
from protocol.errors import UsageError
from server.causal.synthetic.combining import combine
from server.causal.synthetic.student import two_sided_quantile


def test_three_sets_are_combined_as_by_hand() -> None:
    found = combine([1.0, 2.0, 3.0], [0.1, 0.2, 0.3])
    variance = 4 / 3 * 1.0 - 0.2
    degrees = 2.0  # 2 x (variance / (4 / 3))^2 is less, and two are always counted
    assert found.estimate == pytest.approx(2.0)
    assert found.variance == pytest.approx(variance)
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found.degrees_of_freedom == degrees
    reach = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach))


def test_degrees_of_freedom_are_those_of_raghunathan_reiter_and_rubin() -> None:
    estimates = np.random.default_rng(3).normal(0, 1, 20)
    inflated = 1.05 * estimates.var(ddof=1)
    found = combine(estimates, np.full(20, 0.25))
    ratio = inflated / 0.25
    assert found.degrees_of_freedom == pytest.approx(19 * (1 - 1 / ratio) ** 2)


def test_variance_never_falls_below_that_of_the_finite_synthetic_data() -> None:
    found = combine([1.0, 1.0, 1.1, 0.9], [4.0, 4.0, 4.0, 4.0])
    assert found.variance == pytest.approx(1.0)  # 4 / m, where (1 + 1/m) b - 4 is negative


def test_sets_without_any_variance_give_a_point() -> None:
    found = combine([2.0, 2.0], [0.0, 0.0])
    assert (found.low, found.estimate, found.high) == (2.0, 2.0, 2.0)
    assert found.degrees_of_freedom == 1


def test_coefficients_are_combined_one_by_one() -> None:
    estimates, variances = np.arange(12.0).reshape(4, 3) ** 1.5, np.full((4, 3), 0.5)
    together = combine(estimates, variances)
    for column in range(3):
        alone = combine(estimates[:, column], variances[:, column])
        assert isinstance(alone.low, float)
        assert isinstance(together.low, np.ndarray)
        assert together.low[column] == alone.low


def test_series_come_out_as_series_whatever_the_order_of_their_labels() -> None:
    estimates = [pd.Series({"age": 1.0, "dose": 5.0}), pd.Series({"dose": 6.0, "age": 2.0})]
    variances = pd.DataFrame({"dose": [0.4, 0.4], "age": [0.1, 0.1]})
    found = combine(estimates, variances)
    assert isinstance(found.estimate, pd.Series)
    assert isinstance(found.variance, pd.Series)
    assert found.estimate.to_dict() == {"age": 1.5, "dose": 5.5}
    assert found.variance.to_dict() == pytest.approx({"age": 0.65, "dose": 0.35})


def test_one_column_of_a_table_is_taken_as_one_number_a_set() -> None:
    table = pd.DataFrame({"estimate": [1.0, 2.0, 4.0], "variance": [0.1, 0.1, 0.1]})
    found = combine(table["estimate"], table["variance"])
    assert found.estimate == pytest.approx(7 / 3)


def test_a_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = (combine([1.0, 2.0, 3.0], [0.1] * 3, level=level) for level in (0.8, 0.99))
    assert isinstance(wide.low, float)
    assert isinstance(narrow.low, float)
    assert wide.low < narrow.low
    assert (narrow.level, wide.level) == (0.8, 0.99)


@pytest.mark.parametrize("degrees", [1, 2, 2.5, 4, 19, 99, 1e4])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.999])
def test_quantiles_of_student_agree_with_scipy(level: float, degrees: float) -> None:
    expected = stats.t.ppf((1 + level) / 2, degrees)
    assert two_sided_quantile(level, degrees) == pytest.approx(expected, rel=1e-8)


def test_the_public_name_is_this_function() -> None:
    assert concause.combine is combine
    assert "combine" in concause.__all__


LABELLED = pd.Series({"age": 1.0, "dose": 2.0})


@pytest.mark.parametrize(
    ("estimates", "variances", "code"),
    [
        ([1.0], [0.1], "too-few-sets"),
        ([], [], "too-few-sets"),
        ([1.0, 2.0], [0.1], "lengths-differ"),
        ([1.0, 2.0], [[0.1, 0.1], [0.1, 0.1]], "lengths-differ"),
        ([1.0, 2.0], [0.1, -0.1], "negative-variance"),
        ([1.0, math.nan], [0.1, 0.1], "not-finite"),
        ([1.0, 2.0], [0.1, math.inf], "not-finite"),
        ([[1.0, 2.0], [1.0]], [[0.1, 0.1], [0.1]], "not-numbers"),
        (["a", "b"], [0.1, 0.1], "not-numbers"),
        ([LABELLED, LABELLED.rename({"age": "sex"})], [LABELLED] * 2, "labels-differ"),
        ([LABELLED] * 2, [LABELLED.rename({"age": "sex"})] * 2, "labels-differ"),
        ([pd.Series([1.0, 2.0], index=["a", "a"])] * 2, [[1.0, 1.0]] * 2, "labels-differ"),
        ([pd.Series([1, None], dtype="Int64")] * 2, [[1.0, 1.0]] * 2, "not-finite"),
    ],
)
def test_what_cannot_be_combined_is_refused(estimates: Any, variances: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        combine(estimates, variances)
    assert caught.value.code == code


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    with pytest.raises(UsageError) as caught:
        combine([1.0, 2.0], [0.1, 0.1], level=level)
    assert caught.value.code == "level-out-of-range"
