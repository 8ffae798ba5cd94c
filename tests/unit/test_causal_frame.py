import numpy as np
import pandas as pd
import pytest

from protocol.study.variables import Numeric
from server.causal.compilation import bins_of
from server.causal.frame import to_frame
from server.causal.world import Rows, placed
from tests.support.networks import asia, mixed, network


def test_columns_have_the_types_of_their_kind() -> None:
    frame = mixed().model().sample(500, seed=1)
    assert list(frame.columns) == ["age", "blood", "dose", "event", "fever"]
    assert frame["age"].dtype == np.float64
    assert frame["event"].dtype == pd.Int64Dtype()
    assert list(frame["blood"].cat.categories) == ["A", "B", "AB", "OTHER"]
    assert not frame["blood"].cat.ordered
    assert list(frame["dose"].cat.categories) == ["none", "low", "high"]
    assert frame["dose"].cat.ordered


def test_boolean_without_missing_is_a_plain_integer() -> None:
    frame = asia().model().sample(100, seed=1)
    assert set(frame.dtypes) == {np.dtype(np.int64)}
    assert set(np.unique(frame)) <= {0, 1}


def test_ordinal_with_other_is_not_ordered() -> None:
    variable = 'kind = "ordinal"\nlevels = ["low", "high"]\nother = true'
    made = network({"grade": variable}, [], {"grade": np.array([0.4, 0.4, 0.2])})
    column = made.model().sample(50, seed=1)["grade"]
    assert not column.cat.ordered
    assert list(column.cat.categories) == ["low", "high", "OTHER"]


def test_types_do_not_depend_on_what_was_drawn() -> None:
    model = mixed().model()
    small, large = model.sample(1, seed=1), model.sample(1000, seed=2)
    assert list(small.dtypes) == list(large.dtypes)


def test_missing_codes_become_missing_values() -> None:
    made = mixed()
    model = made.model()
    codes, frame = model.codes(2000, seed=6), model.sample(2000, seed=6)
    for node in ("age", "dose", "event"):
        missing = made.study.variables[node].missing_code
        column = codes[made.nodes.index(node)]
        assert (frame[node].isna().to_numpy() == (column == missing)).all()
        assert frame[node].isna().any()


def test_every_value_goes_back_to_its_code() -> None:
    made = mixed()
    model = made.model()
    codes, frame = model.codes(300, seed=6), model.sample(300, seed=6)
    for position, node in enumerate(made.nodes):
        variable = made.study.variables[node]
        for code, value in zip(codes[position], frame[node], strict=True):
            if code != variable.missing_code:
                assert variable.code_of(value) == code


def test_numbers_are_uniform_inside_their_bin() -> None:
    frame = mixed().model().do({"fever": "[36, 37.3)"}).sample(20_000, seed=4)
    place = (frame["fever"] - 36) / 1.3
    assert place.between(0, 1, inclusive="left").all()
    assert place.mean() == pytest.approx(0.5, abs=0.01)
    assert place.var() == pytest.approx(1 / 12, abs=0.003)


def test_numbers_stay_in_their_bin_whatever_the_rounding() -> None:
    study = network(
        {"x": 'kind = "numeric"\nedges = [0, 0.1, 0.3, 0.7]'}, [], {"x": np.full(3, 1 / 3)}
    ).study
    variable = study.variables["x"]
    assert isinstance(variable, Numeric)
    bins = bins_of(variable, None, None)
    assert bins is not None
    for place in (0.0, 1 - 2**-53):
        for code in range(3):
            (value,) = placed(bins, np.array([code], dtype=np.int8), np.array([place]))
            assert variable.code_of(float(value)) == code


def test_number_that_is_set_is_the_value_itself() -> None:
    made = mixed()
    frame = made.model().do({"fever": 38.5}).sample(10, seed=1)
    assert (frame["fever"] == 38.5).all()
    text = made.model().do({"fever": "38.5"}).sample(10, seed=1)
    pd.testing.assert_frame_equal(frame, text)


def test_rows_are_numbered_from_the_start() -> None:
    frame = asia().model().sample(5, seed=1, start=7)
    assert list(frame.index) == [7, 8, 9, 10, 11]


def test_no_rows_have_all_columns() -> None:
    made = mixed()
    numbers = {at: np.zeros(0) for at, node in enumerate(made.nodes) if node in ("age", "fever")}
    empty = to_frame(made.study, Rows(np.zeros((5, 0), dtype=np.int8), numbers, {}), start=0)
    assert list(empty.columns) == list(made.nodes)
    assert list(empty.dtypes) == list(made.model().sample(3, seed=1).dtypes)
