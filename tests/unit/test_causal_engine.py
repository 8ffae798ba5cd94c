import pytest

from protocol.errors import UsageError
from server.causal.sampling import engine
from server.causal.sampling.engine import Engine


@pytest.mark.parametrize(
    ("path", "threads", "chunk_rows", "code"),
    [
        ("cuda", 1, 16, "unknown-path"),
        ("auto", 0, 16, "threads-out-of-range"),
        ("auto", 1, 0, "chunk-out-of-range"),
        ("auto", 1, 12, "chunk-out-of-range"),
    ],
)
def test_engine_that_cannot_be_is_refused(
    path: engine.Path, threads: int, chunk_rows: int, code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        Engine(path, threads, chunk_rows)
    assert refusal.value.code == code


def test_engine_without_numba_is_refused_by_name_and_else_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "has_kernels", lambda: False)
    with pytest.raises(UsageError, match=r"concause\[fast\]") as refusal:
        Engine("numba")
    assert refusal.value.code == "no-numba"
    assert not Engine().is_compiled(10**12)


def test_small_samples_are_not_worth_compiling() -> None:
    assert not Engine().is_compiled(1000)
    assert Engine().is_compiled(2**30)
    assert not Engine("numpy").is_compiled(2**30)
