"""Parameters as tables for people."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import UsageError
from server.causal.mechanisms.mechanism import TableMechanism, Terms
from tests.support.causal_models import DRAWS, mixed_model, visits_model
from tests.support.networks import asia


def test_tables_have_a_probability_per_row_and_level() -> None:
    model = asia().model()
    found = model.parameters("dyspnoea")
    assert found.index.names == ["bronchitis", "either", "dyspnoea"]
    assert found.loc[("1", "0", "1"), "estimate"] == pytest.approx(0.8)
    mechanism = model.mechanisms["dyspnoea"]
    assert isinstance(mechanism, TableMechanism)
    error = mechanism.draws[:, 1, 0, 1].std()
    assert found.loc[("1", "0", "1"), "standard_error"] == pytest.approx(error)
    assert found.loc[("1", "0", "1"), "high"] == pytest.approx(0.8 + 1.959964 * error, rel=1e-6)


def test_probabilities_stay_between_zero_and_one() -> None:
    found = asia().model().parameters("tub", level=0.999999)
    assert found["low"].min() >= 0
    assert found["high"].max() <= 1


def test_regressions_have_terms_per_row_and_a_scale() -> None:
    found = mixed_model().parameters("pressure")
    assert found.index.names == ["stage", "term"]
    assert [term for stage, term in found.index if stage == "I"] == [
        *("(constant)", "dose", "treated", "residual standard deviation")
    ]
    assert (found["low"] <= found["estimate"]).all()


def test_regressions_without_a_scale_have_terms_alone() -> None:
    found = mixed_model().parameters("treated")
    assert set(found.index.get_level_values("term")) == {"(constant)", "dose"}


def test_tables_made_by_a_regression_show_its_terms() -> None:
    model = mixed_model()
    mechanism = model.mechanisms["visits"]
    assert isinstance(mechanism, TableMechanism)
    terms = Terms(("(constant)", "age"), np.array([0.5, -0.1]), np.ones((DRAWS, 2)))
    fitted = {**model.mechanisms, "visits": replace(mechanism, terms=terms)}
    found = replace(model, mechanisms=fitted).parameters("visits")
    assert list(found.index) == [("(constant)",), ("age",)]
    assert list(found["estimate"]) == [0.5, -0.1]


def test_rules_have_no_parameters() -> None:
    with pytest.raises(UsageError) as refusal:
        mixed_model().parameters("dose")
    assert refusal.value.code == "no-parameters"


@pytest.mark.parametrize(
    ("node", "level", "code"),
    [("cd4", 0.95, "unknown-node"), ("cd4[1]", 1.0, "level-out-of-range")],
)
def test_parameters_of_nothing_or_at_no_level_are_refused(
    node: str, level: float, code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        visits_model().parameters(node, level)
    assert refusal.value.code == code
