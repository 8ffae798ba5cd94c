"""Mixed worlds: no window, chunk or intervention elsewhere changes a value."""

from functools import cache

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.study.variables import Value
from server.causal.model import Model
from server.causal.sampling.engine import Engine, Path
from tests.support.causal_models import mixed_model, visits_model

TOTAL = 700
SET: dict[str, dict[str, Value]] = {
    "mixed": {"treated": 1, "age": 61.5, "crp": "[1, 100]", "sex": "male", "visits": 0, "dose": 2},
    "visits": {"drug": 1, "cd4[1]": 20, "load[0]": 5.5, "sex": 0, "low[1]": 1, "dead[0]": 0},
}


@cache
def model(name: str) -> Model:
    return mixed_model() if name == "mixed" else visits_model()


@cache
def whole(name: str) -> pd.DataFrame:
    return model(name).sample(TOTAL, seed=9)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SET)),
    start=st.integers(0, TOTAL),
    rows=st.integers(0, TOTAL),
    chunk=st.integers(1, 30),
    threads=st.integers(1, 3),
    path=st.sampled_from(["numpy", "numba"]),
)
def test_any_window_in_any_chunks_is_the_same_rows(
    name: str, start: int, rows: int, chunk: int, threads: int, path: Path
) -> None:
    rows = min(rows, TOTAL - start)
    engine = Engine(path, threads, chunk_rows=8 * chunk)
    found = model(name).sample(rows, seed=9, start=start, engine=engine)
    pd.testing.assert_frame_equal(found, whole(name).iloc[start : start + rows], check_exact=True)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 200), batch=st.integers(1, 100), start=st.integers(0, 50))
def test_batches_are_the_sample_cut_into_pieces(rows: int, batch: int, start: int) -> None:
    frames = list(model("mixed").iter_batches(rows, seed=2, batch=batch, start=start))
    expected = model("mixed").sample(rows, seed=2, start=start)
    pd.testing.assert_frame_equal(pd.concat(frames), expected, check_exact=True)


@pytest.mark.parametrize(
    ("name", "node"), [(name, node) for name in sorted(SET) for node in SET[name]]
)
def test_an_intervention_changes_descendants_only(name: str, node: str) -> None:
    fitted, graph = model(name), model(name).study.causal_graph
    world_set = fitted.do({node: SET[name][node]})
    touched = set(world_set.interventions)
    touched |= {below for one in world_set.interventions for below in graph.descendants(one)}
    before, after = fitted.codes(TOTAL, seed=9), world_set.codes(TOTAL, seed=9)
    frame = world_set.sample(TOTAL, seed=9)
    for at, other in enumerate(graph.nodes):
        if other not in touched:
            assert (before[at] == after[at]).all(), other
    hidden = fitted.study.indicators.items()  # what is recorded changes with whether it is
    touched |= {name for name, indicator in hidden if indicator in touched}
    kept = [column for column in map(str, frame) if column.removesuffix("_event") not in touched]
    pd.testing.assert_frame_equal(frame[kept], whole(name)[kept], check_exact=True)
