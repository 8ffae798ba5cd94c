"""A coordinator that signs what does not follow from the round is found out, step by step."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from server.causal.model import load
from server.estimation.fit import fit
from server.release import synthetic
from server.release.contents import Imprint, make_report
from server.release.folder import ReleaseFile
from server.release.manifest import decode_manifest, release_id
from server.release.settings import fit_settings
from server.release.synthetic import tally
from server.release.verify import verify_release
from tests.support.release_folders import alter_row, sign_again, write
from tests.support.release_rounds import STUDY, PlayedRound, basis_of, play_round

OTHER_VERSIONS = {"concause": "0.0.1", "opendp": "0.16.0", "pandas": "9.9.9"}


@pytest.fixture(scope="module")
def played() -> PlayedRound:
    return play_round()


@pytest.fixture(scope="module")
def original(played: PlayedRound, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "original"
    write(folder, played)
    return folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def only_failure(release: Path, played: PlayedRound, /, **changes: object) -> tuple[str, str]:
    sign_again(release, played.coordinator_key, **changes)
    (failure,) = verify_release(release, roster=played.roster).failures
    return failure.file, failure.detail


def test_a_comment_in_the_study_changes_nothing_that_was_agreed(
    release: Path, played: PlayedRound
) -> None:
    path = release / ReleaseFile.STUDY
    path.write_text("# a comment\n" + path.read_text())
    file, _ = only_failure(release, played)
    assert file == ReleaseFile.REPORT  # which prints the SHA-256 of the study's file


def test_another_study_is_named(release: Path, played: PlayedRound) -> None:
    (release / ReleaseFile.STUDY).write_text(STUDY.replace("epsilon = 4", "epsilon = 2"))
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.STUDY
    assert "hash of the study" in detail


def test_a_study_that_is_no_text_is_named(release: Path, played: PlayedRound) -> None:
    (release / ReleaseFile.STUDY).write_bytes(b"\xff\xfe")
    assert only_failure(release, played)[0] == ReleaseFile.STUDY


def test_the_transcript_of_another_round_is_named(release: Path, played: PlayedRound) -> None:
    other = play_round(counter=2)
    (release / ReleaseFile.TRANSCRIPT).write_bytes(other.transcript)
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.TRANSCRIPT
    assert "session of the round" in detail


def test_a_transcript_that_ends_early_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.TRANSCRIPT
    path.write_bytes(path.read_bytes()[:-5])
    assert only_failure(release, played)[0] == ReleaseFile.TRANSCRIPT


def test_a_smaller_epsilon_than_was_spent_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.PRIVACY
    statement = json.loads(path.read_text())
    statement["guarantee"]["epsilon"] = "0.1"
    path.write_text(json.dumps(statement, indent=2))
    assert only_failure(release, played)[0] == ReleaseFile.PRIVACY


def test_a_model_that_the_sum_does_not_give_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.MODEL
    document = json.loads(path.read_text())
    row = document["mechanisms"][0]["table"][0]
    row[0], row[1] = row[0] - 1e-6, row[1] + 1e-6
    path.write_text(json.dumps(document))
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.MODEL
    assert "coffee" in detail or "shift" in detail


def test_a_model_with_narrower_intervals_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.MODEL
    document = json.loads(path.read_text())
    draws = document["mechanisms"][0]["draws"]
    document["mechanisms"][0]["draws"] = [draws[0]] * len(draws)
    path.write_text(json.dumps(document))
    assert only_failure(release, played)[0] == ReleaseFile.MODEL


@pytest.mark.parametrize("change", [{"seed": 99}, {"draws": 20}, {"draws": 10**9}])
def test_a_choice_of_seed_or_draws_is_named(
    release: Path, played: PlayedRound, change: Mapping[str, int]
) -> None:
    basis = basis_of(played)
    chosen = fit_settings(basis.session).model_copy(update=change)
    name = release_id(basis.study.name, basis.session, chosen)
    file, detail = only_failure(release, played, estimation=chosen, release=name)
    assert file == ReleaseFile.MANIFEST
    assert "draws and the seed" in detail


def test_a_model_fitted_with_a_chosen_seed_is_named(release: Path, played: PlayedRound) -> None:
    basis = basis_of(played)
    model = fit(basis.study, basis.plan, basis.noisy, seed=99)
    (release / ReleaseFile.MODEL).write_text(model.to_json())
    assert only_failure(release, played)[0] == ReleaseFile.MODEL


def test_another_name_of_the_release_is_named(release: Path, played: PlayedRound) -> None:
    file, detail = only_failure(release, played, release="coffee-is-harmless")
    assert file == ReleaseFile.MANIFEST
    assert "id of the release" in detail


def test_rows_of_another_seed_are_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.SYNTHETIC
    table = pq.read_table(path)
    frame = load(release).sample(500, seed=8)
    other = table.from_pandas(frame, preserve_index=False).replace_schema_metadata(
        table.schema.metadata
    )
    pq.write_table(other, path)
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.SYNTHETIC
    assert "other rows" in detail


def test_one_other_row_in_the_middle_of_many_batches_is_named(
    played: PlayedRound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "BATCH_ROWS", 50)
    release = tmp_path / "release"
    write(release, played)
    assert verify_release(release, roster=played.roster).ok
    alter_row(release / ReleaseFile.SYNTHETIC, 260)  # of 500
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.SYNTHETIC
    assert "other rows" in detail


def test_one_row_too_few_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.SYNTHETIC
    pq.write_table(pq.read_table(path).slice(0, 499), path)
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.SYNTHETIC
    assert "500 rows" in detail


def test_rows_that_claim_another_origin_are_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.SYNTHETIC
    table = pq.read_table(path)
    claimed = {**table.schema.metadata, b"concause.rung": b"real"}
    pq.write_table(table.replace_schema_metadata(claimed), path)
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.SYNTHETIC
    assert "concause.rung" in detail


def test_something_else_than_parquet_is_named(release: Path, played: PlayedRound) -> None:
    (release / ReleaseFile.SYNTHETIC).write_text("not Parquet")
    assert only_failure(release, played)[0] == ReleaseFile.SYNTHETIC


def test_a_report_that_loads_something_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.REPORT
    page = path.read_text().replace("</main>", "<img src='https://example.org/a'></main>")
    path.write_text(page)
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.REPORT
    assert "<img>" in detail


def test_a_report_that_says_something_else_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.REPORT
    path.write_text(path.read_text().replace("95% interval", "99% interval"))
    file, detail = only_failure(release, played)
    assert file == ReleaseFile.REPORT
    assert "not the one that follows" in detail
    assert "versions" not in detail  # the same ones are installed here


def draw_report(release: Path, played: PlayedRound, software: Mapping[str, str]) -> None:
    manifest = decode_manifest((release / ReleaseFile.MANIFEST).read_bytes()).manifest
    imprint, basis = Imprint(manifest.release, manifest.created, software), basis_of(played)
    tallies = tally(release / ReleaseFile.SYNTHETIC, basis.study)
    page, _ = make_report(basis, imprint, load(release), tallies, manifest.files)
    (release / ReleaseFile.REPORT).write_bytes(page)


def test_a_report_is_drawn_again_whatever_versions_the_manifest_names(
    release: Path, played: PlayedRound
) -> None:
    draw_report(release, played, OTHER_VERSIONS)
    sign_again(release, played.coordinator_key, software=OTHER_VERSIONS)
    verification = verify_release(release, roster=played.roster)
    assert verification.ok
    assert verification.checks[-1].file == ReleaseFile.REPORT
    assert "drawn again" in verification.checks[-1].detail


def test_a_forged_report_under_other_versions_is_named_and_the_detail_says_what_to_do(
    release: Path, played: PlayedRound
) -> None:
    draw_report(release, played, OTHER_VERSIONS)
    path = release / ReleaseFile.REPORT
    path.write_text(path.read_text().replace("95% interval", "99% interval"))
    file, detail = only_failure(release, played, software=OTHER_VERSIONS)
    assert file == ReleaseFile.REPORT
    assert "not the one that follows" in detail
    assert "verify with the versions" in detail


def test_versions_alone_cannot_be_changed(release: Path, played: PlayedRound) -> None:
    file, _ = only_failure(release, played, software=OTHER_VERSIONS)
    assert file == ReleaseFile.REPORT  # which prints them


def test_a_roster_under_another_name_is_named(release: Path, played: PlayedRound) -> None:
    path = release / ReleaseFile.ROSTER
    path.write_bytes(path.read_bytes().replace(b"test-consortium", b"best-consortium"))
    sign_again(release, played.coordinator_key)
    assert {check.file for check in verify_release(release).failures} == {ReleaseFile.TRANSCRIPT}
    pinned = verify_release(release, roster=played.roster)
    assert {check.file for check in pinned.failures} == {ReleaseFile.ROSTER}


def test_a_manifest_that_lists_too_few_files_is_named(release: Path, played: PlayedRound) -> None:
    file, _ = only_failure(release, played, files={})
    assert file == ReleaseFile.MANIFEST
