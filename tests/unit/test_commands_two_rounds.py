"""Two rounds as people type them: a first study, a directed second one, one release of both."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from concause import cli
from protocol.canonical import parse_fraction
from protocol.errors import ExitCode
from protocol.privacy.conversion import epsilon_of
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from server.commands import rounds
from server.commands.directed_study import with_rho
from server.release.summary import EarlierSummary
from server.rounds.folder import RoundFolder
from server.rounds.status import RoundStatus
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round
from tests.support.studies import STUDY_TEXT
from tests.support.two_rounds import following, player
from tests.unit.test_rounds_issue import config


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-rounds") / "first"
    write(folder, play_round())
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return written(tmp_path / "study.toml", STUDY)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(capsys.readouterr().err)["error"]
    return found


def direct(study: Path, first: Path, out: Path, *options: str) -> int:
    arguments = ["study", "direct", str(study), "--prior", str(first), "--out", str(out)]
    return cli.run([*arguments, *options, "--json"])


def test_a_second_study_has_what_the_first_round_leaves_of_the_total(
    study: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "second.toml"
    assert direct(study, first, out, "--total-epsilon", "5") == ExitCode.OK
    both, second = printed(capsys)["both_rounds"], parse_study(out.read_text())
    total = compile_plan(parse_study(STUDY)).rho + compile_plan(second).rho
    assert parse_fraction(both["rho"]) == total
    assert 4.999 < epsilon_of(total, Fraction(1, 10**6)) <= 5
    assert second.budget.epsilon is None
    assert second.budget.delta == Decimal("0.000001")


def test_without_a_total_the_second_study_keeps_its_budget(
    study: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "second.toml"
    assert direct(study, first, out) == ExitCode.OK
    assert printed(capsys)["both_rounds"]["epsilon"] > 5.5
    assert parse_study(out.read_text()).budget == parse_study(STUDY).budget


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--total-epsilon", "3.9"], "nothing-left"),
        (["--total-epsilon", "4.0001"], "nothing-left"),
        (["--total-epsilon", "5", "--no-follow"], "no-first-round"),
    ],
)
def test_a_total_that_leaves_nothing_or_has_no_first_round_is_refused(
    study: Path,
    first: Path,
    tmp_path: Path,
    options: list[str],
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "second.toml"
    assert direct(study, first, out, *options) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (STUDY, "budget = {delta = 1e-6, rho = 0.0123}"),
        (STUDY.replace("epsilon = 4, delta = 1e-6", "rho = 1"), "budget = {rho = 0.0123}"),
        (STUDY_TEXT, "rho = 0.0123"),
    ],
)
def test_a_budget_is_replaced_however_it_is_written(text: str, line: str) -> None:
    changed = with_rho(text, Decimal("0.0123"))
    assert line in changed.splitlines()
    budget = parse_study(changed).budget
    assert (budget.rho, budget.epsilon) == (Decimal("0.0123"), None)


def test_a_plan_shows_errors_of_both_rounds_with_the_release_of_the_first(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = written(tmp_path / "second.toml", following())
    plan, privacy = ["study", "plan", str(second), "--persons", "2000"], []
    for options in ([], ["--prior", str(first)]):
        assert cli.run([*plan, *options, "--json"]) == ExitCode.OK
        document = printed(capsys)
        privacy.append(document["questions"][0]["privacy"])
    assert privacy[1] < 0.8 * privacy[0]
    assert 4 < document["both_rounds"]["epsilon"] < 6
    assert cli.run([*plan, "--prior", str(first)]) == ExitCode.OK
    assert "both rounds together" in capsys.readouterr().out
    assert cli.run(plan) == ExitCode.OK
    assert "errors of this round alone" in capsys.readouterr().out


def test_a_plan_with_the_release_of_another_study_than_it_follows_is_refused(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = following(STUDY.replace("rows = 500", "rows = 400"))
    path = written(tmp_path / "second.toml", other)
    assert cli.run(["study", "plan", str(path), "--prior", str(first), "--json"]) == ExitCode.USAGE
    assert refusal(capsys)["code"] == "does-not-follow"


def stop(*_: object) -> None:
    raise KeyboardInterrupt


class Coordinator:
    """A coordinator's folder, with consortium and network in memory."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config(folder)
        self.folder = folder
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(rounds, "check_reachable", lambda _: None)

    def start(self, *arguments: object, silent: tuple[str, ...] = (), stopped: bool = False) -> int:
        """Run `concause round start`; the driver is stopped before it begins, if so wanted."""
        self._monkeypatch.setattr(rounds, "issue", stop if stopped else player(silent))
        options = ["--config", str(self.folder / "coordinator.toml"), "--json"]
        return cli.run(["round", "start", *map(str, arguments), *options])

    @property
    def last_status(self) -> RoundStatus:
        status = RoundFolder(max((self.folder / "rounds").iterdir())).read_status()
        assert status is not None
        return status


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    return Coordinator(tmp_path, monkeypatch)


def test_two_rounds_from_the_first_study_to_the_verified_release(
    coordinator: Coordinator, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, both, second = tmp_path / "first", tmp_path / "both", tmp_path / "second.toml"
    assert coordinator.start(study, "--release", first) == ExitCode.OK
    assert printed(capsys)["earlier"] is None
    assert direct(study, first, second, "--total-epsilon", "5") == ExitCode.OK
    total = printed(capsys)["both_rounds"]
    assert coordinator.start(second, "--earlier", first, "--release", both) == ExitCode.OK
    summary = printed(capsys)
    assert summary["earlier"] == {"study": "coffee-on-sleep", "combined": True}
    assert summary["budget"]["rho"] == total["rho"]
    assert cli.run(["release", "verify", str(both)]) == ExitCode.OK
    assert "earlier-transcript.bin" in capsys.readouterr().out


def test_a_site_that_was_not_in_the_first_sum_is_left_out_of_the_second(
    coordinator: Coordinator, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", written(tmp_path / "second.toml", following())
    assert coordinator.start(study, "--release", first, silent=("south",)) == ExitCode.OK
    capsys.readouterr()
    assert coordinator.start(second, "--earlier", first) == ExitCode.OK
    summary = printed(capsys)
    assert summary["cohort"] == {"contributed": ["north", "east"], "dropped": ["south"]}
    assert summary["earlier"]["combined"] is True
    assert coordinator.last_status.sites[2].reason == "is not in the sum that this round follows"


def test_a_release_is_written_from_the_second_sum_if_a_site_is_lost_in_between(
    coordinator: Coordinator, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, both = tmp_path / "first", tmp_path / "both"
    second = written(tmp_path / "second.toml", following())
    assert coordinator.start(study, "--release", first) == ExitCode.OK
    capsys.readouterr()
    arguments = (second, "--earlier", first, "--release", both)
    assert coordinator.start(*arguments, silent=("east",)) == ExitCode.OK
    assert printed(capsys)["earlier"]["combined"] is False
    assert cli.run(["release", "verify", str(both)]) == ExitCode.OK
    assert "The two rounds are not combined" in (both / "report.html").read_text()


def test_a_round_that_is_taken_up_again_still_follows_the_earlier_one(
    coordinator: Coordinator, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = written(tmp_path / "second.toml", following())
    assert coordinator.start(second, "--earlier", first, stopped=True) == ExitCode.INTERRUPTED
    capsys.readouterr()
    (folder,) = (tmp_path / "rounds").iterdir()
    assert coordinator.start("--resume", folder) == ExitCode.OK
    assert printed(capsys)["earlier"]["combined"] is True


@pytest.mark.parametrize(
    ("combined", "said"), [(True, "combined with this one"), (False, "NOT combined")]
)
def test_people_are_told_whether_rounds_are_combined(*, combined: bool, said: str) -> None:
    assert said in rounds._earlier_line(EarlierSummary("coffee-on-sleep", combined))


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (following(), [], "earlier-missing"),
        (STUDY, ["--earlier", "FIRST"], "follows-none"),
        (following(following()), ["--earlier", "FIRST"], "does-not-follow"),
        (following(), ["--earlier", "nowhere"], "no-release"),
        (following(), ["--earlier", "FIRST", "--resume", "somewhere"], "study-or-resume"),
    ],
)
def test_rounds_that_cannot_follow_are_refused_before_a_counter_is_used(
    coordinator: Coordinator,
    first: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    text: str,
    options: list[str],
    code: str,
) -> None:
    path = written(tmp_path / "second.toml", text)
    given = [str(first) if option == "FIRST" else option for option in options]
    assert coordinator.start(path, *given) == ExitCode.USAGE
    assert refusal(capsys)["code"] == code
    assert not (tmp_path / "counter").exists()


def test_a_study_is_not_directed_by_a_release_that_follows_another(
    coordinator: Coordinator, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second, both = written(tmp_path / "second.toml", following()), tmp_path / "both"
    assert coordinator.start(second, "--earlier", first, "--release", both) == ExitCode.OK
    capsys.readouterr()
    assert direct(second, both, tmp_path / "third.toml") == ExitCode.USAGE
    assert refusal(capsys)["code"] == "third-round"
