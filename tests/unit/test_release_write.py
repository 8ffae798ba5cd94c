"""Writing a release: from a finished round to a folder, or to nothing."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from protocol.errors import ConcauseError, PolicyError, UsageError
from server.causal.model import load
from server.release import write as writing
from server.release.folder import ReleaseFile
from server.release.write import write_release
from tests.support.release_folders import LATER, NOW, write
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, PlayedRound, make_roster, play_round


@pytest.fixture(scope="module")
def played() -> PlayedRound:
    return play_round(silent=("south",))


@pytest.fixture(scope="module")
def release(played: PlayedRound, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "release"
    write(folder, played)
    return folder


def test_a_release_is_exactly_its_files(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == set(ReleaseFile)


def test_a_researcher_opens_rows_and_model(release: Path) -> None:
    rows = pd.read_parquet(release / ReleaseFile.SYNTHETIC)
    pd.testing.assert_frame_equal(rows, load(release).sample(500, seed=7))


def test_the_rows_say_where_they_come_from(release: Path) -> None:
    stated = pq.read_schema(release / ReleaseFile.SYNTHETIC).metadata
    assert stated[b"concause.rung"] == b"observational"
    assert stated[b"concause.seed"] == b"7"
    assert {b"concause.study_hash", b"concause.model_sha256"} <= set(stated)


def test_the_study_is_kept_as_its_author_wrote_it(played: PlayedRound, release: Path) -> None:
    assert (release / ReleaseFile.STUDY).read_text() == played.study_text


def test_the_summary_tells_cohort_budget_and_effects(played: PlayedRound, tmp_path: Path) -> None:
    summary = write(tmp_path / "release", played)
    document = summary.to_json()
    assert document["cohort"] == {"contributed": ["north", "east"], "dropped": ["south"]}
    assert summary.report.is_file()
    assert summary.synthetic.is_file()
    (effect,) = summary.answers
    assert effect.low <= effect.estimate <= effect.high
    assert 3.99 < summary.epsilon <= 4


def test_the_same_round_and_settings_give_the_same_bytes(
    played: PlayedRound, release: Path, tmp_path: Path
) -> None:
    write(tmp_path / "again", played)
    for name in ReleaseFile:
        assert (tmp_path / "again" / name).read_bytes() == (release / name).read_bytes()


def test_a_release_is_never_overwritten(played: PlayedRound, release: Path) -> None:
    before = (release / ReleaseFile.MANIFEST).read_bytes()
    with pytest.raises(UsageError) as caught:
        write(release, played, now=LATER)
    assert caught.value.code == "release-exists"
    assert (release / ReleaseFile.MANIFEST).read_bytes() == before


def test_a_failure_at_the_last_step_leaves_nothing(
    played: PlayedRound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UsageError("made-up", "Made up.")

    monkeypatch.setattr(writing, "sign_manifest", fail)
    with pytest.raises(UsageError):
        write(tmp_path / "release", played)
    assert list(tmp_path.iterdir()) == []


def test_another_key_than_the_coordinators_may_not_sign(
    played: PlayedRound, tmp_path: Path
) -> None:
    arguments = {**played.arguments, "signing_key": key_of("mallory")}
    with pytest.raises(UsageError) as caught:
        write_release(tmp_path / "release", **arguments, now=NOW)
    assert caught.value.code == "not-the-coordinator"


def test_a_time_without_a_zone_is_refused(played: PlayedRound, tmp_path: Path) -> None:
    naive = datetime(2026, 2, 3)  # noqa: DTZ001 - the point of the test
    with pytest.raises(UsageError) as caught:
        write_release(tmp_path / "release", **played.arguments, now=naive)
    assert caught.value.code == "naive-time"


def test_a_round_of_another_study_is_refused(played: PlayedRound, tmp_path: Path) -> None:
    papers = replace(played.papers, study_text=STUDY.replace("epsilon = 4", "epsilon = 3"))
    arguments = {**played.arguments, "papers": papers}
    with pytest.raises(PolicyError) as caught:
        write_release(tmp_path / "release", **arguments, now=NOW)
    assert caught.value.code == "other-study"


def test_a_round_under_another_roster_is_refused(played: PlayedRound, tmp_path: Path) -> None:
    papers = replace(played.papers, roster=make_roster(("north", "east", "west")))
    arguments = {**played.arguments, "papers": papers}
    with pytest.raises(ConcauseError) as caught:
        write_release(tmp_path / "release", **arguments, now=NOW)
    assert caught.value.code == "other-roster"
    assert list(tmp_path.iterdir()) == []
