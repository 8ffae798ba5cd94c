"""Every engine makes the same partitions; Spark needs Java 17 or later."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from concause import cli
from protocol.errors import StorageError, UsageError
from server.causal.production import spark
from server.causal.production.folder import partition_name
from server.causal.production.population import write_population
from server.causal.worlds.interventions import policy
from tests.support.causal_models import mixed_model

ROWS = 6000
SMALL: dict[str, Any] = {"partition_rows": 1500, "batch_rows": 500}


def test_spark_makes_the_bytes_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = tmp_path / "model.json"
    release.write_text(mixed_model().to_json(), encoding="utf-8")
    asked = ["sample", str(release), "--rows", str(ROWS), "--partition-rows", "1500"]
    asked += ["--policy", "treated=age < 50", "--json"]
    digests = []
    for engine, more in (("local", ["--workers", "2"]), ("spark", ["--spark-master", "local[2]"])):
        options = [*asked, "--out", str(tmp_path / engine), "--engine", engine, *more]
        assert cli.run(options) == 0
        out = capsys.readouterr().out
        digests += json.loads(out[out.index("{") :])["sha256"].values()
    assert digests[0] == digests[1]
    for index in range(4):
        name = partition_name(index)
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "spark" / name).read_bytes()


def test_a_task_that_fails_leaves_finished_partitions_and_says_so(tmp_path: Path) -> None:
    model = mixed_model()
    view = model.do({"treated": policy("log(age - 26) > 1")})
    with pytest.raises(StorageError) as refusal:
        write_population(view, tmp_path / "rows", ROWS, 5, on="spark", master="local[2]", **SMALL)
    assert refusal.value.code == "spark-failed"
    assert not list((tmp_path / "rows").glob("part-*"))


def test_spark_that_is_not_there_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *others: Any, **more: Any) -> Any:
        if name.startswith("pyspark"):
            raise ImportError(name)
        return usual(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"concause\[spark\]") as refusal:
        write_population(mixed_model(), tmp_path / "rows", ROWS, 5, on="spark", **SMALL)
    assert refusal.value.code == "no-spark"


def test_nothing_missing_needs_no_spark(tmp_path: Path) -> None:
    spark.make_on_spark(tmp_path, [], master="nowhere")


def test_a_single_file_is_refused_for_spark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = tmp_path / "model.json"
    release.write_text(mixed_model().to_json(), encoding="utf-8")
    out = str(tmp_path / "rows.parquet")
    assert cli.run(["sample", str(release), "--out", out, "--engine", "spark"]) == 2
    assert "without an ending" in capsys.readouterr().err
