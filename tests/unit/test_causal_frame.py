import numpy as np
import pandas as pd
import pytest

from protocol.errors import UsageError
from protocol.study.variables import Numeric
from server.causal.model import Model
from server.causal.sampling.bins import placed
from server.causal.sampling.nodes import Rows
from server.causal.worlds.columns import Shown, to_frame
from server.causal.worlds.compilation import bins_of
from tests.support.causal_models import mixed_model, model_of, study_of, visits_model
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
    rows = Rows(np.zeros((5, 0), dtype=np.int8), numbers, {})
    empty = to_frame(Shown(made.study, rows, made.model().world.place))
    assert list(empty.columns) == list(made.nodes)
    assert list(empty.dtypes) == list(made.model().sample(3, seed=1).dtypes)


def test_columns_of_every_kind_have_their_types() -> None:
    frame = mixed_model().sample(400, seed=1)
    found = {name: str(frame[name].dtype) for name in frame}
    assert found["visits"] == "int64"
    assert (found["stay"], found["stay_event"]) == ("float64", "int64")
    assert (found["crp_missing"], found["dose"]) == ("int64", "float64")
    assert list(frame.columns).index("stay_event") == list(frame.columns).index("stay") + 1
    assert set(frame["visits"]) <= {0, 1, 2, 3}


def test_count_that_may_be_missing_is_a_nullable_integer() -> None:
    study = study_of({"n": 'kind = "count", edges = [0, 1, 9], missing = true'}, [])
    column = model_of(study).sample(300, seed=1)["n"]
    assert column.dtype == pd.Int64Dtype()
    assert column.isna().any()
    assert column.dropna().between(0, 9).all()


def test_values_are_hidden_where_the_indicator_says_so() -> None:
    frame = mixed_model().sample(1000, seed=2)
    assert (frame["crp"].isna() == (frame["crp_missing"] == 1)).all()
    visits = visits_model().sample(500, seed=2)
    for visit in range(3):
        hidden = visits[f"cd4_missing[{visit}]"] == 1
        assert (visits[f"cd4[{visit}]"].isna() == hidden).all()


RULES = {
    "x": 'kind = "numeric", edges = [0, 5, 10], missing = true',
    "x_missing": 'kind = "missingness", of = "x"',
    "grade": 'kind = "ordinal", levels = ["low", "high"], missing = true',
    "g_missing": 'kind = "missingness", of = "grade"',
    "twice": 'kind = "numeric", edges = [0, 10, 20], missing = true',
    "tall": 'kind = "boolean", missing = true',
}


def hidden_rules() -> Model:
    study = study_of(
        RULES,
        ["x -> twice", "twice -> tall", "grade -> tall"],
        {
            "twice": '{ kind = "rule", value = "2 * x" }',
            "tall": """{ kind = "rule", value = "grade == 'high' or twice > 10" }""",
        },
    )
    return model_of(study)


def test_rules_are_hidden_where_what_they_read_is() -> None:
    model = hidden_rules()
    frame = model.sample(2000, seed=3)
    x, grade, tall = frame["x"].isna(), frame["grade"].isna(), frame["tall"]
    assert (frame["twice"].isna() == x).all()
    assert (tall[frame["grade"] == "high"] == 1).all()  # whatever x is
    assert tall[grade & x].isna().all()
    codes = dict(zip(model.study.causal_graph.nodes, model.codes(2000, seed=3), strict=True))
    assert (codes["tall"][~tall.isna()] == tall[~tall.isna()]).all()


def test_rule_that_is_set_is_shown() -> None:
    frame = hidden_rules().do({"twice": 4}).sample(200, seed=3)
    assert (frame["twice"] == 4).all()


def test_long_frames_have_a_row_per_unit_and_visit() -> None:
    model = visits_model()
    wide, long = model.sample(50, seed=4, start=3), model.sample_long(50, seed=4, start=3)
    assert list(long.columns[:2]) == ["unit", "visit"]
    assert set(long.columns[2:]) == set(model.study.variables)
    assert len(long) == 150
    assert list(long["unit"][:6]) == [3, 3, 3, 4, 4, 4]
    second = long[long["visit"] == 1].reset_index(drop=True)
    assert (second["load"].to_numpy() == wide["load[1]"].to_numpy()).all()
    assert (second["sex"].to_numpy() == wide["sex"].to_numpy()).all()


def test_copies_may_be_long() -> None:
    first, second = visits_model().sample_copies(2, 20, seed=1, long=True)
    assert list(first.columns) == list(second.columns)
    assert len(first) == 60


def test_long_frames_of_a_study_without_visits_are_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        asia().model().sample_long(5, seed=1)
    assert refusal.value.code == "no-visits"


def test_variable_with_the_name_of_a_column_of_long_frames_is_refused() -> None:
    study = study_of(
        {"visit": 'kind = "boolean"'},
        ["visit[t-1] -> visit[t]"],
        more="[time]\nvisits = 2",
    )
    with pytest.raises(UsageError) as refusal:
        model_of(study).sample_long(5, seed=1)
    assert refusal.value.code == "name-taken"
