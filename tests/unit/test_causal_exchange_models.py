"""Models in other tools give the same samples as here, where these tools can hold them."""

import gzip
import warnings
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import pytest

from protocol.errors import UsageError
from server.causal.counterfactuals.counterfactual import counterfactual
from server.causal.exchange import refusals
from server.causal.exchange.dowhy_model import to_dowhy
from server.causal.exchange.network_model import from_bif
from server.causal.exchange.pgmpy_model import to_pgmpy
from server.causal.model import Model
from server.causal.worlds.interventions import policy, randomised, shift
from tests.support.causal_models import mixed_model, model_of, study_of

ROWS = 20_000
CLOSE = 4.5 * np.sqrt(0.5 / ROWS)  # of two shares; once in 100,000 by chance

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages say on import

BOOLEAN = 'kind = "boolean"'
NUMBER = 'kind = "numeric", edges = [-50, 0, 50]'
NOMINAL = 'kind = "categorical", levels = ["a", "b", "c"]'
GAUSSIAN = '{ kind = "gaussian" }'


def tables() -> Model:
    variables = {"c": NOMINAL, "t": BOOLEAN, "y": 'kind = "ordinal", levels = ["low", "high"]'}
    return model_of(study_of(variables, ["c -> t", "c -> y", "t -> y"]))


def numbers() -> Model:
    variables = {"c": NOMINAL, "t": BOOLEAN, "x": NUMBER, "y": NUMBER, "r": NUMBER}
    edges = ["c -> t", "t -> y", "x -> y", "c -> y", "y -> r"]
    laws = {"x": GAUSSIAN, "y": GAUSSIAN, "r": '{ kind = "rule", value = "y / 2" }'}
    return model_of(study_of(variables, edges, laws))


def shares(frame: pd.DataFrame, columns: list[str]) -> "pd.Series[float]":
    texts = frame[columns].astype(str)
    return texts.value_counts(normalize=True).sort_index()


def alike(one: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> None:
    both = pd.concat([shares(one, columns), shares(other, columns)], axis=1).fillna(0.0)
    first, second = both.to_numpy().T
    assert np.abs(first - second).max() < CLOSE


def test_pgmpy_samples_as_we_do() -> None:
    model = tables()
    theirs = to_pgmpy(model).simulate(ROWS, seed=1, show_progress=False)
    alike(theirs, model.sample(ROWS, seed=1), ["c", "t", "y"])


def test_a_soft_intervention_is_exact_where_that_of_pgmpy_is_not() -> None:
    """The treatment is drawn with P = .40: pgmpy weighs its old law with it instead."""
    from pgmpy.factors.discrete import TabularCPD  # noqa: PLC0415 - slow, and an extra

    model = tables()
    view = model.do({"t": randomised(0.40)})
    y, c = (model.mechanisms[node].table for node in ("y", "c"))  # type: ignore[union-attr]
    exact = float(np.einsum("c,ct,t->", c, y[..., 1], [0.6, 0.4]))
    assert view.mean("y", event="high").estimate == pytest.approx(exact, abs=1e-12)
    assert view.marginal("t")["1"] == pytest.approx(0.40, abs=1e-12)
    rows = view.sample(ROWS, seed=2)
    assert rows["t"].mean() == pytest.approx(0.40, abs=CLOSE)
    law = TabularCPD("t", 2, [[0.6], [0.4]], state_names={"t": ["0", "1"]})
    theirs = to_pgmpy(model).simulate(ROWS, seed=1, show_progress=False, virtual_intervention=[law])
    assert abs((theirs["t"] == "1").mean() - 0.40) > 0.1
    held = to_pgmpy(view).simulate(ROWS, seed=1, show_progress=False)
    alike(held, rows, ["c", "t", "y"])


def test_dowhy_samples_as_we_do() -> None:
    model = numbers()
    np.random.seed(3)  # noqa: NPY002 - DoWhy draws from numpy's own generator
    theirs = _gcm().draw_samples(to_dowhy(model), ROWS)
    ours = model.sample(ROWS, seed=5)
    alike(theirs, ours, ["c", "t"])
    for column in ("x", "y", "r"):
        one, other = theirs[column].astype(float), ours[column]
        assert abs(one.mean() - other.mean()) < 5 * other.std() / np.sqrt(ROWS / 2)
        assert one.std() == pytest.approx(other.std(), rel=0.03)
    apart = theirs["r"].astype(float) - theirs["y"].astype(float) / 2
    assert apart.abs().max() < 1e-9


def test_dowhy_intervenes_as_we_do() -> None:
    model = numbers()
    np.random.seed(4)  # noqa: NPY002
    theirs = _gcm().interventional_samples(
        to_dowhy(model), {"t": lambda _: 1}, num_samples_to_draw=ROWS
    )
    ours = model.do({"t": 1}).sample(ROWS, seed=5)["y"]
    assert abs(theirs["y"].astype(float).mean() - ours.mean()) < 5 * ours.std() / np.sqrt(ROWS / 2)


def test_dowhy_finds_the_same_counterfactuals_where_noise_is_added() -> None:
    study = study_of({"x": NUMBER, "y": NUMBER}, ["x -> y"], {"x": GAUSSIAN, "y": GAUSSIAN})
    model = model_of(study)
    rows = model.sample(50, seed=1)
    theirs = _gcm().counterfactual_samples(
        to_dowhy(model), {"x": lambda value: value + 1}, observed_data=rows
    )
    ours = counterfactual(model, rows, {"x": shift(1)}).frame
    assert theirs["y"].to_numpy(dtype=float) == pytest.approx(ours["y"].to_numpy(), abs=1e-9)


def test_views_of_policies_are_held_too() -> None:
    view = tables().do({"t": policy("c == 'a'")})
    np.random.seed(4)  # noqa: NPY002
    theirs = _gcm().draw_samples(to_dowhy(view), ROWS)
    alike(theirs, view.sample(ROWS, seed=5), ["c", "t", "y"])


def _gcm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dowhy.gcm  # noqa: PLC0415 - slow, and an extra

    return dowhy.gcm


@pytest.mark.parametrize("convert", [to_pgmpy, to_dowhy])
def test_what_a_tool_cannot_hold_is_refused_by_name(convert: object) -> None:
    with pytest.raises(UsageError) as refusal:
        convert(mixed_model())  # type: ignore[operator]
    assert refusal.value.code in {"not-convertible", "model-unfit"}
    assert "'dose" in refusal.value.cause or "'stay'" in refusal.value.cause


@pytest.mark.parametrize("convert", [to_pgmpy, to_dowhy])
def test_a_package_that_is_not_there_is_asked_for(
    convert: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr(refusals, "import_module", missing)
    with pytest.raises(UsageError) as refusal:
        convert(tables())  # type: ignore[operator]
    assert refusal.value.code == "package-missing"
    assert "pip install" in refusal.value.remedy


def test_networks_with_known_truth_are_read_from_bif() -> None:
    packed = files("pgmpy") / "utils" / "example_models" / "asia.bif.gz"
    model = from_bif(gzip.decompress(packed.read_bytes()).decode(), "asia")
    assert model.marginal("lung")["yes"] == pytest.approx(0.055, abs=1e-9)
    assert model.effect("smoke", "lung", "yes", "no", event="yes").estimate == pytest.approx(0.09)
