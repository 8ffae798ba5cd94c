"""Records read by a cluster of Spark: a master and a worker of their own, not this process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from deploy.demo.processes import LOOPBACK, Child, Processes, free_ports
from tests.support.tables_source import GOOD, open_records
from tests.support.tables_study import UNIT, all_cliques, ward_study

pytestmark = pytest.mark.e2e
SPARK = Path(pyspark.__file__).parent
ROOT = Path(__file__).parents[2]
COUNT = """
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
from tests.support.databases import spark_source
from tests.support.tables_source import GOOD
from tests.support.tables_study import UNIT, all_cliques, ward_study

study = ward_study()
with spark_source(GOOD, study, UNIT, Path(sys.argv[1]), master=sys.argv[2]) as source:
    counts = source.counts(all_cliques(study))
    master = SparkSession.getActiveSession().sparkContext.master
print(json.dumps([master, [table.tolist() for table in counts.values()]]))
"""


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """Return the address of a cluster."""
    port, *pages = free_ports(3)
    address = f"spark://{LOOPBACK}:{port}"
    places = ("--host", LOOPBACK, "--webui-port")
    options = {
        "master": (*places, pages[0], "--port", port),
        "worker": (*places, pages[1], "--cores", 2, "--memory", "1g", "--work-dir", tmp_path),
    }
    environment = os.environ | {"SPARK_HOME": str(SPARK), "SPARK_LOCAL_IP": LOOPBACK}
    running = Processes(tmp_path / "logs")
    try:
        for place, (name, given) in enumerate(options.items()):
            kind = f"org.apache.spark.deploy.{name}.{name.title()}"
            argv = [str(SPARK / "bin" / "spark-class"), kind, *map(str, given)]
            where = [] if name == "master" else [address]
            child = Child(name, argv + where, environment, (port, pages[1])[place])
            running.start(child)
            running.wait_ready(child)
        yield address
    finally:
        running.stop()


def test_a_cluster_counts_what_is_counted_here(master: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(tmp_path), master],
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": LOOPBACK},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    at, found = json.loads(done.stdout.splitlines()[-1])
    assert at == master
    study = ward_study()
    with open_records(GOOD, tmp_path, study=study, unit=UNIT) as source:
        counts = source.counts(all_cliques(study))
    assert found == [table.tolist() for table in counts.values()]
