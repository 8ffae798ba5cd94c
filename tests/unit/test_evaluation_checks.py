"""What is checked of graphs and groups, what is left out, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from concause import cli
from protocol.errors import ExitCode, UsageError
from protocol.study.study import Study
from server.estimation.evidence import NoisySum
from server.evaluation.graph_check import check_graph
from server.evaluation.independence import independence_of
from server.evaluation.invariance import Group, check_invariance
from server.evaluation.replicates import compared, holm, released
from tests.support.causal_models import model_of, study_of
from tests.support.noisy_sums import sampled_sum
from tests.support.release_folders import write
from tests.support.release_rounds import STUDY, play_round

BOOLEAN = 'kind = "boolean"'
CHAIN = {"a": BOOLEAN, "b": BOOLEAN, "c": BOOLEAN, "d": BOOLEAN}


def sum_of(edges: list[str], rows: int = 4000) -> tuple[Study, NoisySum]:
    study = study_of(CHAIN, edges, rho="0.1")
    return study, sampled_sum(study, model_of(study), rows, 1, default_rng(1))


def test_pairs_are_tested_with_the_fewest_others_that_separate_them() -> None:
    study, noisy = sum_of(["a -> b", "b -> c", "a -> d", "b -> d", "c -> d"])
    found = check_graph(study, noisy)
    assert [(one.x, one.y, one.given) for one in found.implied] == [("a", "c", ("b",))]
    assert found.untested == ()
    assert "'a' and 'c' tell nothing of each other once 'b' is known" in found.implied[0].text
    assert {(one.cause, one.effect) for one in found.arrows} == {
        ("a", "b"),
        ("b", "c"),
        ("a", "d"),
        ("b", "d"),
        ("c", "d"),
    }


def test_what_no_family_holds_together_is_said_to_be_untested() -> None:
    study, noisy = sum_of(["a -> b", "b -> c", "c -> d"])
    found = check_graph(study, noisy)
    assert found.implied == ()
    assert found.untested == (("a", "c"), ("a", "d"), ("b", "d"))
    assert "3 pairs without an arrow cannot be tested" in found.text


def test_pairs_with_an_unmeasured_cause_are_not_taken_for_independent() -> None:
    study, noisy = sum_of(["a -> c", "b -> c", "a <-> b", "c -> d"])
    assert check_graph(study, noisy).implied == ()


def test_few_persons_under_much_noise_are_too_few_to_tell() -> None:
    study = study_of(CHAIN, ["a -> c", "b -> c", "c -> d"], rho="0.0001")
    noisy = sampled_sum(study, model_of(study), 300, 1, default_rng(1))
    (one,) = check_graph(study, noisy).implied
    assert one.verdict == "too noisy to tell"
    assert one.detectable > 0.1


def test_a_variable_without_a_trace_is_seen_to_have_none() -> None:
    study = study_of(CHAIN, ["a -> d", "b -> d", "c -> d"], rho="0.3")
    truth = model_of(study_of(CHAIN, ["a -> d", "b -> d"]))
    noisy = sampled_sum(study, truth, 50_000, 1, default_rng(4))
    traces = {one.cause: one.trace for one in check_graph(study, noisy).arrows}
    assert traces == {"a": "seen", "b": "seen", "c": "no trace"}


def test_tests_are_the_same_for_everybody() -> None:
    _, noisy = sum_of(["a -> c", "b -> c", "c -> d"])
    first, second = (independence_of(released(noisy), "a", "b", ()) for _ in range(2))
    assert first == second


def test_p_values_by_rank_and_for_their_number() -> None:
    assert compared(10.0, np.arange(99.0)).p == pytest.approx(0.9)
    assert compared(1000.0, np.arange(99.0)).p == pytest.approx(0.01)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def group(name: str, sites: int, edges: list[str], first: int = 0) -> Group:
    study, noisy = sum_of(edges)
    keys = frozenset(bytes([first + at]) for at in range(sites))
    return Group(name, study, keys, noisy)


EDGES = ["a -> b", "b -> c", "c -> d"]


@pytest.mark.parametrize(
    ("groups", "code"),
    [
        ([group("one", 3, EDGES)], "too-few-groups"),
        ([group("one", 3, EDGES), group("two", 1, EDGES, 50)], "single-site"),
        ([group("one", 3, EDGES), group("two", 3, EDGES, 2)], "overlapping-groups"),
        ([group("one", 3, EDGES), group("two", 3, EDGES[:2], 50)], "other-measures"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(groups: list[Group], code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_invariance(groups)
    assert refusal.value.code == code


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folders = []
    for name, sites in (("north", ("oak", "elm", "ash")), ("south", ("fir", "yew", "box"))):
        folder = tmp_path_factory.mktemp(name) / "release"
        write(folder, play_round(STUDY, sites=sites))
        folders.append(str(folder))
    return folders


def test_commands_check_releases(releases: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["release", "check-graph", releases[0], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {(one["cause"], one["effect"]) for one in document["arrows"]} == {
        ("shift", "coffee"),
        ("shift", "sleep"),
        ("coffee", "sleep"),
    }
    assert cli.run(["release", "invariance", *releases]) == 0
    assert "3 mechanisms compared" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["release", "check-graph", releases[0]]) == 0
    assert "trace" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check-graph", "nowhere"], "no-release"),
        (["invariance", "nowhere", "there"], "no-release"),
    ],
)
def test_commands_refuse_what_is_no_release(
    words: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *folders = words
    paths = [str(tmp_path / folder) for folder in folders]
    assert cli.run(["release", command, *paths, "--json"]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == code


def test_a_release_is_not_compared_with_itself(
    releases: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["release", "invariance", releases[0], releases[0], "--json"]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "overlapping-groups"
