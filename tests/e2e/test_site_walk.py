"""docs/site.md, executed: three sites and a coordinator, from joining to withdrawal."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomlkit

from deploy.demo.consortium import run_here
from deploy.demo.processes import free_ports
from server.rounds.coordinator_config import load_coordinator_config
from server.rounds.flower import prepare_homes
from tests.support.loopback_servers import Proxy, serving

pytestmark = pytest.mark.e2e
PAGE = Path(__file__).parents[2] / "docs" / "site.md"
BLOCK = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROUND = "$ concause round start study.toml --config coordinator/coordinator.toml --release more"
SITES = ("north", "south", "west")
BEHIND_A_PROXY = "west"  # which alone knows where COORDINATOR is
COORDINATOR = "coordinator.example:9443"
STUDY = """
format = "concause-study/1"
name = "smoking-and-weight"
title = "Does smoking change who is heavy?"
author = "The testers"
expires = 2099-12-31

[budget]
epsilon = 1.5
delta = 1e-6

[cohort]
n_min = 3
tolerated_colluders = 0
threshold = 3

[trust]
aggregation = "masking"

[variables.smoker]
kind = "boolean"

[variables.heavy]
kind = "boolean"

[graph]
edges = ["smoker -> heavy"]

[[questions]]
name = "smoking"
kind = "average"
treatment = "smoker"
treated = 1
reference = 0
outcome = "heavy"
"""


@dataclass
class Walk:
    """A folder in which the page's commands run."""

    folder: Path
    ports: Mapping[str, int]
    proxy: Proxy
    proxy_port: int
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def block(self, kind: str, marks: Mapping[str, str], content: str) -> None:
        """Do what a block says."""
        if kind == "toml":
            for site in SITES:
                self._merge(self.folder / marks["in"].replace("$SITE", site), content)
            return
        fails = int(marks.get("fails", "0"))
        for site in SITES if marks["at"] == "site" else ("",):
            for line in content.splitlines():
                assert line.startswith("$ concause "), line
                self._run(line[2:], site, fails)

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running.values():
            process.wait(30)

    def _run(self, line: str, site: str, fails: int) -> None:
        names = {"SITE": site, "FINGERPRINT": self.said.get(f"fingerprint {site}", "")}
        names |= {"PORT": str(self.ports.get(site, "")), "SUPERLINK": str(self.ports["superlink"])}
        text = re.sub(r"\$([A-Z]+)", lambda found: names[found[1]], line)
        background = text.endswith(" &")
        argv = shlex.split(text.removesuffix(" &"))[1:]
        command = [sys.executable, "-m", "concause", *argv]
        if background:
            self._start(command, site or "superlink")
            return
        with chdir(self.folder), patch.dict(os.environ, self._way_out(site)):
            code, printed, complained = run_here(argv)
        assert code == fails, f"{text}\n{printed}{complained}"
        if argv[:2] == ["coordinator", "welcome"]:
            self.said[f"fingerprint {site}"] = printed.strip().splitlines()[-1]
        if argv[:2] == ["site", "install"] and site == BEHIND_A_PROXY:
            address = f'[flower]\nsuperlink = "{COORDINATOR}"\n'
            self._merge(self.folder / site / "site.toml", address)

    def _way_out(self, site: str) -> Mapping[str, str]:
        proxy = f"http://127.0.0.1:{self.proxy_port}"
        return {"HTTPS_PROXY": proxy} if site == BEHIND_A_PROXY else {}

    def _start(self, command: list[str], name: str) -> None:
        port = self.ports[name]
        if "coordinator" in command:
            prepare_homes(load_coordinator_config(self.folder / "coordinator/coordinator.toml"))
        with (self.folder / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=os.environ | self._way_out(name),
                start_new_session=True,
            )
        self.running[name] = process
        _await(port, process)

    def _merge(self, path: Path, content: str) -> None:
        document = tomlkit.parse(path.read_text())
        _deepen(document, tomlkit.parse(content))
        path.write_text(tomlkit.dumps(document))


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")


def _deepen(into: Any, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, Mapping) and name in into:
            _deepen(into[name], value)
        else:
            into[name] = value


def records(seed: int) -> pa.Table:
    chance = np.random.default_rng(seed)
    smokes = chance.random(4000) < 0.4
    return pa.table(
        {
            "patient": np.arange(4000),
            "smokes": np.where(smokes, "yes", "no"),
            "weight_kg": chance.normal(80 + 8 * smokes, 15),
            "height_m": chance.normal(1.7, 0.05, 4000),
        }
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("walk")
    names = ("superlink", *SITES)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    proxy = Proxy({COORDINATOR: ports["superlink"]})
    (folder / "study.toml").write_text(STUDY)
    blocks = [
        (kind, dict(mark.split("=") for mark in marks.split()), content)
        for kind, marks, content in BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    ]
    assert len(blocks) > 12
    with serving(proxy) as proxy_port:
        walk = Walk(folder, ports, proxy, proxy_port)
        try:
            for kind, marks, content in blocks:
                if kind == "toml" and not (folder / "north" / "records.parquet").exists():
                    for seed, site in enumerate(SITES):
                        pq.write_table(records(seed), folder / site / "records.parquet")
                walk.block(kind, marks, content)
            time.sleep(0.5)
            yield walk
        finally:
            walk.stop()


def test_the_walk_ends_in_a_release_of_three_sites(walked: Walk) -> None:
    privacy = json.loads((walked.folder / "release" / "privacy.json").read_text())
    assert privacy["cohort"]["dropped"] == []
    assert not (walked.folder / "again").exists()


def test_the_pages_for_people_say_what_was_decided(walked: Walk) -> None:
    review = (walked.folder / "north" / "review.html").read_text()
    for words in ("WHO ASKS", "WHAT IT COSTS IN PRIVACY", "north, south, west"):
        assert words in review
    assert "Nothing to mend." in (walked.folder / "north" / "check.html").read_text()


def test_the_audit_log_tells_the_whole_walk(walked: Walk) -> None:
    events = [
        (line["event"], line["who"], line.get("why"))
        for line in map(
            json.loads, (walked.folder / "north/audit/audit.jsonl").read_text().splitlines()
        )
    ]
    kinds = [event for event, _, _ in events]
    assert kinds[:5] == ["roster-installed", *["person-named"] * 4]
    assert kinds[5] == "policy-in-force"
    assert kinds[6:9] == ["approval-signed", "approval-signed", "gate-started"]
    assert kinds[9:13] == ["round-joined", "round-charged", "vector-released", "round-revealed"]
    assert events[1][2] == "Ada of north, data steward"
    assert events[6][1] == "Ada of north (data steward)"
    assert events[7][1] == "Ben of north (privacy officer)"
    withdrawn = ("approval-withdrawn", "Ada of north (data steward)", "The ethics vote has ended")
    assert withdrawn in events
    assert kinds.index("paused") < kinds.index("resumed") < kinds.index("approval-withdrawn")
    assert kinds[-1] == "refused"


def test_the_export_is_checked_by_someone_without_the_site(walked: Walk) -> None:
    copy = walked.folder / "north.audit.jsonl"
    seal = copy.with_name(copy.name + ".checkpoint")
    signer = json.loads(seal.read_text())["signer"]
    argv = [sys.executable, "-m", "concause", "site", "audit", "verify", str(copy)]
    argv += ["--checkpoint", str(seal), "--trust", signer]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "holds 1 checkpoints" in done.stdout


def test_the_coordinator_keeps_a_checkpoint_of_every_site(walked: Walk) -> None:
    (found,) = (walked.folder / "coordinator").rglob("checkpoints.json")
    assert len(json.loads(found.read_text())) == 3


def test_one_site_called_through_its_proxy(walked: Walk) -> None:
    assert len(walked.proxy.asked) > 1  # doctor, and the SuperNode
    assert set(walked.proxy.asked) == {COORDINATOR}


def test_a_killed_supernode_is_started_again_and_answers(walked: Walk) -> None:
    (output,) = (walked.folder / BEHIND_A_PROXY).rglob("supernode.log")
    lives = output.read_text().count("SuperNode ID")
    started = psutil.Process(walked.running[BEHIND_A_PROXY].pid).children()
    (supernode,) = [one for one in started if "flower-supernode" in " ".join(one.cmdline())]
    supernode.kill()
    end = time.monotonic() + 60
    while output.read_text().count("SuperNode ID") == lives:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert "supernode-ended" in output.with_name("gate.jsonl").read_text()
    walked.block("console", {"at": "coordinator", "fails": "7"}, ROUND)
    *_, status = sorted((walked.folder / "coordinator" / "rounds").glob("*/status.json"))
    refusals = [one["refusal"] for one in json.loads(status.read_text())["strangers"]]
    codes = [refusal["code"] for refusal in refusals if refusal]  # none from the dead SuperNode
    assert codes == ["approval-withdrawn"] * 3
