import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from protocol.errors import StorageError, UsageError
from protocol.privacy.plan import compile_plan
from protocol.secagg.roster import Roster
from protocol.study.document import parse_study
from server.rounds.board import fresh_status
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.flower_cli import FlowerCli, FlowerRun, run_command
from server.rounds.folder import RoundFolder
from server.rounds.issue import RUN_CONFIG, issue, prepare_round
from server.rounds.status import Outcome, RoundStatus
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, make_roster
from tests.support.rounds_world import START, FakeClock
from tests.unit.test_rounds_settings import DOCUMENT

RUN = "17"
TAKEN = json.dumps({"success": True, "run-id": RUN})


def listed(status: str, details: str = "N/A") -> str:
    return json.dumps({"success": True, "runs": [{"status": status, "status-details": details}]})


def config(folder: Path, roster: Roster | None = None) -> CoordinatorConfig:
    path = folder / "coordinator.toml"
    path.write_text(DOCUMENT + "insecure = true\n[round]\ndeadline_s = 300\n")
    pem = key_of("coordinator").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "coordinator.key").touch(0o600)
    (folder / "coordinator.key").write_bytes(pem)
    (folder / "roster.json").write_bytes((roster or make_roster()).canonical)
    return load_coordinator_config(path)


def test_a_round_is_prepared_with_what_the_sites_will_check(tmp_path: Path) -> None:
    settings, study = config(tmp_path), parse_study(STUDY)
    folder = prepare_round(settings, STUDY, now=START)
    header = folder.read_header()
    descriptor = header.signed.descriptor
    header.signed.verify(make_roster())
    assert folder.path.parent == tmp_path / "rounds"
    assert folder.path.name == f"000001-{descriptor.session.hex()[:12]}"
    assert folder.study.read_text() == STUDY
    assert descriptor.study_hash == study.hash
    assert descriptor.plan_hash == compile_plan(study).hash
    assert descriptor.length == compile_plan(study).length
    assert descriptor.deadline == int(START.timestamp()) + 300
    assert (descriptor.threshold, descriptor.n_min, descriptor.colluders) == (2, 2, 0)


def test_every_round_has_a_larger_counter(tmp_path: Path) -> None:
    settings = config(tmp_path)
    folders = [prepare_round(settings, STUDY, now=START) for _ in range(3)]
    counters = [folder.read_header().signed.descriptor.counter for folder in folders]
    assert counters == [1, 2, 3]


def test_an_expired_study_is_refused_before_a_counter_is_used_up(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with pytest.raises(UsageError) as caught:
        prepare_round(settings, STUDY, now=START.replace(year=2031) + timedelta(days=1))
    assert caught.value.code == "study-expired"
    assert parse_study(STUDY).expires == date(2031, 1, 1)
    prepare_round(settings, STUDY, now=START.replace(year=2031))
    assert settings.counter.read_text() == "1\n"


def test_a_roster_that_the_study_cannot_use_is_refused(tmp_path: Path) -> None:
    settings = config(tmp_path, make_roster(("a", "b", "c", "d", "e", "f")))
    with pytest.raises(UsageError) as caught:
        prepare_round(settings, STUDY, now=START)
    assert caught.value.code == "threshold-too-low"
    assert not settings.counter.exists()


def test_the_key_of_another_coordinator_is_refused(tmp_path: Path) -> None:
    settings = config(tmp_path, make_roster(coordinator_name="somebody"))
    with pytest.raises(UsageError) as caught:
        prepare_round(settings, STUDY, now=START)
    assert caught.value.code == "not-the-coordinator"


def test_a_missing_roster_is_named(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.coordinator.roster.unlink()
    with pytest.raises(UsageError) as caught:
        prepare_round(settings, STUDY, now=START)
    assert caught.value.code == "file-not-found"


@dataclass
class Flower:
    """Plays Flower's command line, one printed answer for each kind of command."""

    taken: str = TAKEN
    listing: str = listed("running")
    asked: list[Sequence[str]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str]) -> str:
        assert environment["FLWR_HOME"].endswith("/flower/cli")
        self.asked.append(argv)
        return {"run": self.taken, "list": self.listing, "stop": "{}"}[argv[1]]

    @property
    def commands(self) -> list[str]:
        return [argv[1] for argv in self.asked]


@dataclass
class Story(FakeClock):
    """A clock in whose sleeps the round's driver, another process, writes its status."""

    chapters: Mapping[float, Callable[[], None]] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        before = self.slept_s
        super().sleep(seconds)
        for moment, happens in self.chapters.items():
            if before < moment <= self.slept_s:
                happens()


@pytest.fixture
def settings(tmp_path: Path) -> CoordinatorConfig:
    return config(tmp_path)


@pytest.fixture
def folder(settings: CoordinatorConfig) -> RoundFolder:
    return prepare_round(settings, STUDY, now=START)


def writes(folder: RoundFolder, outcome: Outcome, reason: str = "") -> Callable[[], None]:
    status = fresh_status(folder.read_header(), START)
    ended = status.model_copy(update={"step": "mask", "outcome": outcome, "reason": reason})
    return lambda: folder.write_status(ended)


def issued(
    settings: CoordinatorConfig, folder: RoundFolder, flower: Flower, clock: FakeClock
) -> tuple[RoundStatus, list[RoundStatus]]:
    seen: list[RoundStatus] = []
    ended = issue(settings, folder, clock, FlowerCli(settings, flower), seen.append)
    return ended, seen


def test_a_round_ends_when_its_status_says_so(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    flower = Flower()
    story = Story(chapters={3.0: writes(folder, "running"), 7.0: writes(folder, "complete")})
    ended, seen = issued(settings, folder, flower, story)
    assert ended.outcome == "complete"
    assert [status.outcome for status in seen] == ["running", "complete"]
    assert flower.commands == ["run"]
    assert (folder.path / RUN_CONFIG).exists()


def test_a_refused_round_is_reported_with_its_reason(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    story = Story(chapters={1.0: writes(folder, "refused", "Too few.")})
    ended, _ = issued(settings, folder, Flower(), story)
    assert (ended.outcome, ended.reason) == ("refused", "Too few.")


def test_a_dead_driver_is_found_by_asking_flower(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    flower = Flower(listing=listed("finished:failed", "No heartbeat received from the task"))
    ended, _ = issued(settings, folder, flower, FakeClock())
    assert ended.outcome == "failed"
    assert ended.reason == (
        "The round's driver ended without a result (finished:failed). "
        "No heartbeat received from the task"
    )
    assert folder.read_status() == ended


def test_what_the_driver_wrote_last_counts_more_than_what_flower_says(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    story = Story(chapters={20.0: writes(folder, "complete")})
    ended, _ = issued(settings, folder, Flower(listing=listed("finished:failed")), story)
    assert ended.outcome == "complete"


def test_a_round_that_no_executor_takes_is_stopped(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    flower, clock = Flower(listing=listed("pending")), FakeClock()
    ended, _ = issued(settings, folder, flower, clock)
    assert ended.outcome == "failed"
    assert "flower-superexec" in ended.reason
    assert flower.commands[-1] == "stop"
    assert clock.slept_s > settings.round.start_timeout_s


def test_a_driver_that_hangs_is_stopped_after_the_deadline(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    flower, clock = Flower(), FakeClock()
    ended, _ = issued(settings, folder, flower, clock)
    assert ended.reason == "The round's driver did not end at the deadline."
    assert flower.commands[-1] == "stop"
    assert clock.slept_s > settings.round.deadline_s


def test_a_superlink_that_is_away_for_a_while_ends_nothing(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    story = Story(chapters={100.0: writes(folder, "complete")})
    ended, _ = issued(settings, folder, Flower(listing="no answer"), story)
    assert ended.outcome == "complete"


@pytest.mark.parametrize("printed", ["", "[]", '{"success": false, "error-message": "down"}'])
def test_a_round_that_flower_does_not_take_has_failed(
    settings: CoordinatorConfig, folder: RoundFolder, printed: str
) -> None:
    with pytest.raises(StorageError) as caught:
        issued(settings, folder, Flower(taken=printed), FakeClock())
    assert caught.value.code == "flower-refused"
    status = folder.read_status()
    assert status is not None
    assert status.outcome == "failed"


def test_a_failed_round_can_be_taken_up_again(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    writes(folder, "failed", "power cut")()
    story = Story(chapters={1.0: writes(folder, "complete")})
    ended, _ = issued(settings, folder, Flower(), story)
    assert ended.outcome == "complete"


@pytest.mark.parametrize("outcome", ["complete", "refused"])
def test_a_round_that_is_over_is_not_issued_again(
    settings: CoordinatorConfig, folder: RoundFolder, outcome: Outcome
) -> None:
    writes(folder, outcome)()
    flower = Flower()
    with pytest.raises(UsageError) as caught:
        issued(settings, folder, flower, FakeClock())
    assert caught.value.code == "round-over"
    assert flower.commands == []


def test_interrupting_stops_the_round(settings: CoordinatorConfig, folder: RoundFolder) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    flower = Flower()
    with pytest.raises(KeyboardInterrupt):
        issued(settings, folder, flower, Story(chapters={2.0: interrupt}))
    assert flower.commands == ["run", "stop"]
    status = folder.read_status()
    assert status is not None
    assert (status.outcome, status.reason) == ("failed", "Stopped by the coordinator.")


def test_a_status_that_vanishes_is_a_failure(
    settings: CoordinatorConfig, folder: RoundFolder
) -> None:
    with pytest.raises(StorageError) as caught:
        issued(settings, folder, Flower(), Story(chapters={2.0: folder.status.unlink}))
    assert caught.value.code == "status-lost"


def test_a_run_is_looked_up_by_its_id(settings: CoordinatorConfig) -> None:
    flower = Flower(listing=listed("starting"))
    found = FlowerCli(settings, flower).look(RUN)
    assert found == FlowerRun(RUN, "starting", "N/A")
    assert (found.waiting, found.finished) == (True, False)
    assert "--run-id" in flower.asked[0]


def test_a_run_that_flower_does_not_list_is_refused(settings: CoordinatorConfig) -> None:
    with pytest.raises(StorageError) as caught:
        FlowerCli(settings, Flower(listing='{"success": true, "runs": []}')).look(RUN)
    assert caught.value.code == "flower-refused"


def test_a_command_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        run_command([str(tmp_path / "flwr")], {})
    assert caught.value.code == "flower-command"
    assert str(tmp_path / "flwr") in caught.value.cause


def test_descriptors_of_two_rounds_differ_in_more_than_time(tmp_path: Path) -> None:
    settings = config(tmp_path)
    first, second = (prepare_round(settings, STUDY, now=START).read_header() for _ in range(2))
    again = replace(second.signed.descriptor, counter=1)
    assert again == first.signed.descriptor
    assert second.signed.descriptor.session != first.signed.descriptor.session
