"""Populations as files: the same bytes whoever makes them, whole or not at all, resumable."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from protocol.errors import StorageError, UsageError
from server.causal.model import Model
from server.causal.production import files
from server.causal.production.files import write_file
from server.causal.production.folder import (
    LOCK,
    MANIFEST,
    close_folder,
    load_folder,
    missing_partitions,
    open_folder,
    partition_name,
)
from server.causal.production.population import write_population
from server.causal.production.request import Request, request_for
from server.causal.sampling.engine import Engine
from server.causal.worlds.interventions import (
    Intervention,
    agent,
    capacity,
    policy,
    randomised,
    shift,
)
from tests.support.causal_models import mixed_model, visits_model
from tests.support.networks import asia

GUIDELINE = Path(__file__).parents[1] / "support" / "guidelines" / "guideline.py"
ROWS = 10_000
SMALL: dict[str, Any] = {"partition_rows": 4096, "batch_rows": 1000}
WAYS: dict[str, Intervention] = {
    "smoker": 1,
    "dose": 3.3,
    "visits": policy("where(sex == 'male', 1, 2)"),
    "treated": capacity(0.3, "age"),
    "sex": randomised({"male": 0.2, "female": "0.8"}),
    "pressure": shift(-3.5),
}


def written(folder: Path, model: Model | None = None, **more: Any) -> str:
    options = {**SMALL, "workers": 1, **more}
    return write_population(model or mixed_model(), folder, ROWS, 5, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def test_partitions_together_are_the_sample(tmp_path: Path) -> None:
    written(tmp_path / "rows")
    frame = ds.dataset(tmp_path / "rows").to_table().to_pandas()
    pd.testing.assert_frame_equal(frame, mixed_model().sample(ROWS, 5))
    assert list(contents(tmp_path / "rows")) == [partition_name(index) for index in range(3)]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows"), frame)


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".csv"])
def test_one_file_is_the_sample(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    write_population(mixed_model(), path, 3000, 5, start=7, batch_rows=1000)
    expected = mixed_model().sample(3000, 5, start=7).reset_index(drop=True)
    if ending == ".csv":
        found = pd.read_csv(path)
        numbers = ["age", "dose", "pressure", "visits", "treated"]
        pd.testing.assert_frame_equal(found[numbers], expected[numbers])
        assert found["smoker"].isna().equals(expected["smoker"].isna())
    else:
        reader = pq.read_table if ending == ".parquet" else read_arrow
        pd.testing.assert_frame_equal(reader(path).to_pandas(), expected)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def read_arrow(path: Path) -> pa.Table:
    with pa.ipc.open_file(path) as file:
        return file.read_all()


def test_a_single_batch_and_a_single_row_are_samples_too(tmp_path: Path) -> None:
    write_population(asia().model(), tmp_path / "one.parquet", 1, 5)
    assert pq.read_table(tmp_path / "one.parquet").num_rows == 1


@pytest.mark.parametrize("view", [False, True])
def test_bytes_are_the_same_for_every_way_to_make_them(tmp_path: Path, *, view: bool) -> None:
    model = mixed_model().do(WAYS) if view else mixed_model()
    expected = written(tmp_path / "plain", model)
    assert written(tmp_path / "processes", model, workers=2) == expected
    request, loaded = load_folder(tmp_path / "plain")
    engines = [
        Engine("numpy", 1, 4096),
        Engine("numpy", 2, 128),
        Engine("numba", 1, 1024),
        Engine("numba", 2, 256),
    ]
    for index, engine in enumerate(engines):
        path = tmp_path / f"{index}.parquet"
        write_file(path, loaded, request, request.span(1), engine=engine)
        assert path.read_bytes() == contents(tmp_path / "plain")[partition_name(1)]


def test_a_resumed_run_makes_what_is_missing_and_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    expected, whole = written(folder), contents(folder)
    kept = (folder / partition_name(0)).stat().st_mtime_ns
    (folder / partition_name(1)).unlink()
    (folder / partition_name(2)).write_bytes(whole[partition_name(2)][:-40])  # cut short
    (folder / (partition_name(1) + files.UNFINISHED)).write_bytes(b"left over")
    seen: list[int] = []
    assert written(folder, progress=seen.append) == expected
    assert contents(folder) == whole
    assert (folder / partition_name(0)).stat().st_mtime_ns == kept
    assert seen[0] == 4096
    assert sum(seen) == ROWS
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("_")) == [
        "_model.json",
        "_sample.json",
    ]


def test_a_finished_folder_is_left_as_it_is(tmp_path: Path) -> None:
    expected = written(tmp_path / "rows")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "rows").glob("part-*")}
    assert written(tmp_path / "rows") == expected
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "rows").glob("part-*")}
    assert before == after


def test_a_partition_of_another_sample_is_made_again(tmp_path: Path) -> None:
    expected = written(tmp_path / "rows")
    write_population(mixed_model(), tmp_path / "other", ROWS, 6, workers=1, **SMALL)
    stranger = (tmp_path / "other" / partition_name(1)).read_bytes()
    (tmp_path / "rows" / partition_name(1)).write_bytes(stranger)
    assert written(tmp_path / "rows") == expected


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"seed": 6}, "seed"),
        ({"rows": 9999}, "rows"),
        ({"draw": 3}, "draw"),
        ({"start": 1}, "start"),
    ],
)
def test_another_sample_in_the_same_folder_is_refused(
    tmp_path: Path, more: dict[str, Any], word: str
) -> None:
    folder = tmp_path / "rows"
    written(folder)
    before = contents(folder)
    request = {"rows": ROWS, "seed": 5, **more}
    with pytest.raises(UsageError, match=word) as refusal:
        write_population(mixed_model(), folder, workers=1, **SMALL, **request)
    assert refusal.value.code == "other-sample"
    with pytest.raises(UsageError) as refusal:
        written(folder, mixed_model().do({"treated": 1}))
    assert refusal.value.code == "other-sample"
    assert contents(folder) == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError) as refusal:
        written(tmp_path)
    assert refusal.value.code == "folder-not-empty"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_somebody_is_writing_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(str(os.getppid()))  # a process that runs
    with pytest.raises(UsageError, match=str(os.getppid())) as refusal:
        written(tmp_path)
    assert refusal.value.code == "folder-in-use"


def test_a_lock_whose_process_has_ended_is_taken_over(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (tmp_path / LOCK).write_text(str(ended.pid))
    written(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_killed_at_any_time_only_whole_partitions_stay_and_the_rest_is_made(tmp_path: Path) -> None:
    rows = 160_000
    whole = tmp_path / "whole"
    expected = write_population(
        asia().model(), whole, rows, 1, workers=2, partition_rows=4096, batch_rows=512
    )
    folder = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.population_kills", str(folder), str(rows)],
        cwd=Path(__file__).parents[2],
    ) as process:
        while not list(folder.glob("part-00000[2-9].parquet")):
            assert process.poll() is None, "it ended before it was killed"
        process.kill()
    stayed = contents(folder)
    unfinished = [name for name in stayed if name.endswith(files.UNFINISHED)]
    finished = {name: stayed[name] for name in stayed if name not in unfinished}
    assert 2 < len(finished) < 40
    assert finished.items() <= contents(whole).items()
    found = write_population(
        asia().model(), folder, rows, 1, workers=1, partition_rows=4096, batch_rows=512
    )
    assert found == expected
    assert contents(folder) == contents(whole)


def test_what_every_way_sets_travels_to_other_processes(tmp_path: Path) -> None:
    ways = {**WAYS, "stage": agent(GUIDELINE, "stage_by_smoking")}
    view = mixed_model().do(ways)
    written(tmp_path / "rows", view, workers=2)
    frame = ds.dataset(tmp_path / "rows").to_table().to_pandas()
    pd.testing.assert_frame_equal(frame, view.sample(ROWS, 5))
    manifest = json.loads((tmp_path / "rows" / MANIFEST).read_text())
    (told,) = (one for one in manifest["request"]["interventions"] if one["kind"] == "agent")
    assert "path" not in told
    facts = pq.read_metadata(tmp_path / "rows" / partition_name(0)).metadata
    assert facts[b"concause.rung"] == b"interventional"
    assert str(told["sha256"]).encode() in facts[b"concause.interventions"]
    assert str(GUIDELINE).encode() not in facts[b"concause.interventions"]


def test_an_agents_file_that_changed_is_refused_by_the_worker(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def young(age):\n    return age < 40\n")
    view = mixed_model().do({"treated": agent(mine, "young")})
    folder = tmp_path / "rows"
    written(folder, view)
    (folder / partition_name(1)).unlink()
    (folder / partition_name(2)).unlink()
    mine.write_text("def young(age):\n    return age < 60\n")
    with pytest.raises(UsageError) as refusal:
        written(folder, view, workers=2)
    assert refusal.value.code == "other-agent"


def test_policies_without_a_result_are_refused_whoever_draws(tmp_path: Path) -> None:
    view = mixed_model().do({"treated": policy("log(age - 26) > 1")})
    for workers in (1, 2):
        with pytest.raises(UsageError) as refusal:
            written(tmp_path / str(workers), view, workers=workers)
        assert refusal.value.code == "policy-undefined"
        assert contents(tmp_path / str(workers)) == {}


def test_a_worker_that_is_killed_is_told_from_one_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(StorageError) as refusal:
        written(tmp_path / "rows", workers=2)
    assert refusal.value.code in {"worker-ended", "file-not-written"}


def test_files_say_what_they_are(tmp_path: Path) -> None:
    written(tmp_path / "rows", draw=3)
    facts = pq.read_metadata(tmp_path / "rows" / partition_name(2)).metadata
    shown = {
        key[9:].decode(): value.decode() for key, value in facts.items() if key[:9] == b"concause."
    }
    assert shown["rung"] == "observational"
    assert (shown["seed"], shown["draw"], shown["first_row"], shown["rows"]) == (
        "5",
        "3",
        "8192",
        "1808",
    )
    assert shown["study_hash"] == mixed_model().study.hash.hex()
    manifest = json.loads((tmp_path / "rows" / MANIFEST).read_text())
    assert [one["rows"] for one in manifest["partitions"]] == [4096, 4096, 1808]
    assert all(len(one["sha256"]) == 64 for one in manifest["partitions"])


def test_units_with_visits_may_be_written_long(tmp_path: Path) -> None:
    write_population(
        visits_model(), tmp_path / "rows", 500, 2, long=True, partition_rows=200, workers=1
    )
    frame = ds.dataset(tmp_path / "rows").to_table().to_pandas()
    pd.testing.assert_frame_equal(frame, visits_model().sample_long(500, 2))
    assert write_population(
        visits_model(), tmp_path / "rows", 500, 2, long=True, partition_rows=200, workers=1
    )


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rows": 0}, "rows-out-of-range"),
    ({"start": -1}, "rows-out-of-range"),
    ({"partition_rows": 0}, "rows-out-of-range"),
    ({"batch_rows": 0}, "rows-out-of-range"),
    ({"seed": -1}, "seed-out-of-range"),
    ({"draw": 20}, "draw-out-of-range"),
    ({"workers": 0}, "workers-out-of-range"),
    ({"on": "dask"}, "unknown-engine"),
]


@pytest.mark.parametrize(("more", "code"), BAD)
def test_requests_that_cannot_be_are_refused(
    tmp_path: Path, more: dict[str, Any], code: str
) -> None:
    request: dict[str, Any] = {"rows": 10, "seed": 1, **more}
    with pytest.raises(UsageError) as refusal:
        write_population(mixed_model(), tmp_path / "rows", **request)
    assert refusal.value.code == code


def test_a_disk_that_is_full_leaves_finished_partitions_and_no_half_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, usual = tmp_path / "rows", pq.ParquetWriter.write_table

    def full(writer: pq.ParquetWriter, table: pa.Table) -> None:
        if (folder / partition_name(0)).exists():
            raise OSError(28, "No space left on device")
        usual(writer, table)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(StorageError, match="No space left") as refusal:
            written(folder)
    assert refusal.value.code == "file-not-written"
    assert list(contents(folder)) == [partition_name(0)]
    written(folder)
    assert len(contents(folder)) == 3


def test_a_damaged_manifest_or_model_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    written(folder)
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text("{")
    with pytest.raises(StorageError) as refusal:
        written(folder)
    assert refusal.value.code == "sample-unreadable"
    (folder / MANIFEST).write_text(manifest)
    (folder / "_model.json").write_text(asia().model().to_json())
    (folder / partition_name(1)).unlink()
    (folder / partition_name(2)).unlink()
    with pytest.raises(UsageError) as refused:
        written(folder, workers=2)
    assert refused.value.code == "other-model"


def test_a_folder_cannot_be_closed_before_it_is_whole(tmp_path: Path) -> None:
    model = mixed_model()
    text = model.to_json()
    request: Request = request_for(model, "00" * 32, ROWS, 5, **SMALL)
    open_folder(tmp_path, text, request)
    assert missing_partitions(tmp_path, request) == [0, 1, 2]
    with pytest.raises(StorageError) as refusal:
        close_folder(tmp_path, request)
    assert refusal.value.code == "partitions-missing"


def test_workers_need_no_installation_that_can_be_written_to(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    script = (
        "from server.causal.production.population import write_population\n"
        "from server.causal.sampling import engine\n"
        "engine._WORTH_COMPILING = 0\n"
        "from tests.support.networks import asia\n"
        f"print(write_population(asia().model(), {str(tmp_path / 'rows')!r}, 9000, 5, workers=2, "
        "partition_rows=4096))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = write_population(
        asia().model(), tmp_path / "other", 9000, 5, workers=1, partition_rows=4096
    )
    assert done.stdout.strip() == expected
