"""The bytes of a sample depend on seed, node and row alone."""

from functools import cache

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from server.causal.model import Model
from server.causal.sampling.engine import Engine, Path
from tests.support.networks import mixed

TOTAL = 3000


@cache
def model() -> Model:
    return mixed().model()


@cache
def whole() -> bytes:
    return model().codes(TOTAL, seed=9).tobytes()


def expected(start: int, rows: int) -> bytes:
    codes = np.frombuffer(whole(), dtype=np.int8).reshape(-1, TOTAL)
    return np.ascontiguousarray(codes[:, start : start + rows]).tobytes()


@settings(deadline=None)
@given(
    start=st.integers(0, TOTAL),
    rows=st.integers(0, TOTAL),
    chunk=st.integers(1, 200),
    threads=st.integers(1, 3),
    path=st.sampled_from(["numpy", "numba"]),
)
def test_any_window_in_any_chunks_is_the_same_bytes(
    start: int, rows: int, chunk: int, threads: int, path: Path
) -> None:
    rows = min(rows, TOTAL - start)
    engine = Engine(path, threads, chunk_rows=8 * chunk)
    found = model().codes(rows, seed=9, start=start, engine=engine)
    assert np.ascontiguousarray(found).tobytes() == expected(start, rows)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 400), batch=st.integers(1, 500), start=st.integers(0, 50))
def test_batches_are_the_sample_cut_into_pieces(rows: int, batch: int, start: int) -> None:
    frames = list(model().iter_batches(rows, seed=2, batch=batch, start=start))
    assert all(len(frame) <= batch for frame in frames)
    pd.testing.assert_frame_equal(pd.concat(frames), model().sample(rows, seed=2, start=start))
