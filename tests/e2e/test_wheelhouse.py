"""A site without a network: installed from what `make wheelhouse` gathered, and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
STUDY = """
format = "concause-study/1"
name = "smokers"
title = "How many smoke?"
author = "The testers"
expires = 2099-12-31
budget = { epsilon = 1, delta = 1e-6 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
graph = { edges = ["smoker -> heavy"] }

[variables.smoker]
kind = "boolean"

[variables.heavy]
kind = "boolean"
"""
IMPORT = "import adbc_driver_postgresql, flwr, concause; print(concause.__file__)"


def run(*argv: object, at: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, argv)), cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that is gone afterwards: a gigabyte."""
    with TemporaryDirectory() as name:
        yield Path(name)


def test_a_site_is_installed_without_an_index_and_reads_its_records(folder: Path) -> None:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    installed, wheels = folder / "installed", folder / "wheels"
    places = (f"AIR_GAPPED={installed}", f"WHEELHOUSE={wheels}", f"VENV={sys.prefix}")
    run("make", "wheelhouse", *places, at=ROOT, **outer)
    assert not list(wheels.glob("*.tar.gz"))  # nothing that would have to be compiled there
    alone = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    found = run(installed / "bin" / "python", "-c", IMPORT, at=folder, **alone)
    assert Path(found.strip()).is_relative_to(installed)
    pq.write_table(
        pa.table({"person": [1, 2, 3], "smoker": [1, 0, 1], "heavy": [0, 0, 1]}),
        installed / "site" / "records.parquet",
    )
    (folder / "study.toml").write_text(STUDY)
    check = ("site", "check", "study.toml", "--config", installed / "site" / "site.toml", "--json")
    readiness = json.loads(run(installed / "bin" / "concause", *check, at=folder, **alone))
    assert readiness["ready"]
    assert readiness["counted"] == 3
