"""A release of a round that follows another: both are in it, combined where sites agree."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.canonical import parse_fraction
from protocol.errors import ConcauseError, UsageError
from protocol.privacy.conversion import epsilon_of
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model, load
from server.estimation.fit import fit
from server.release.basis import Basis, establish
from server.release.folder import FollowedFile, ReleaseFile, content_of
from server.release.self_contained import breaches
from server.release.settings import fit_settings
from server.release.verify import verify_release
from server.release.write import write_release
from server.rounds.papers import Papers
from tests.support.causal_models import mixed_model, site_vector, visits_model
from tests.support.release_folders import NOW
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, PlayedRound, basis_of, make_roster, play_round
from tests.support.studies import MIXED_TEXT, VISITS_TEXT
from tests.support.two_rounds import following

FIRST, SECOND = play_round(), play_round(following(), counter=2)
ALONE = play_round(following(), counter=3, silent=("south",))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("two") / "release", SECOND)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("alone") / "release", ALONE)


def written(folder: Path, played: PlayedRound) -> Path:
    write_release(folder, **played.arguments, followed=FIRST.papers, now=NOW)
    return folder


def statement(release: Path) -> Any:
    return json.loads((release / ReleaseFile.PRIVACY).read_text())


def table(model: Model) -> Any:
    mechanism = model.mechanisms["sleep"]
    assert isinstance(mechanism, TableMechanism)
    return mechanism.table


def fitted(basis: Basis, *, combined: bool) -> Model:
    settings = fit_settings(basis.session)
    return fit(
        basis.study,
        basis.plan,
        basis.noisy,
        earlier=[basis_of(FIRST).noisy] if combined else [],
        draws=settings.draws,
        seed=settings.seed,
    )


def test_the_papers_of_the_earlier_round_are_in_the_release(release: Path) -> None:
    names = {*content_of(1, follows=True), ReleaseFile.MANIFEST}
    assert {path.name for path in release.iterdir()} == names
    assert set(FollowedFile) <= names
    assert (release / FollowedFile.STUDY).read_text() == STUDY
    assert (release / FollowedFile.TRANSCRIPT).read_bytes() == FIRST.transcript


def test_it_verifies_by_itself_and_says_that_both_sums_were_used(release: Path) -> None:
    verification = verify_release(release, roster=SECOND.roster)
    assert verification.ok
    details = {check.name: check.detail for check in verification.checks}
    assert details["model follows from the sum"] == "fitted again from both sums"
    assert details["earlier round replays to its sum"] == "3 of 3 sites in its sum"


def test_the_model_is_fitted_to_both_sums(release: Path) -> None:
    basis = establish(SECOND.papers, FIRST.papers)
    assert np.allclose(table(load(release)), table(fitted(basis, combined=True)), atol=1e-12)
    assert not np.allclose(table(load(release)), table(fitted(basis, combined=False)), atol=1e-4)


def test_what_both_rounds_cost_is_stated_with_its_sum(release: Path) -> None:
    document, plans = statement(release), [basis_of(FIRST).plan, load_plan(SECOND)]
    total = plans[0].rho + plans[1].rho
    assert parse_fraction(document["guarantee"]["rho"]["exact"]) == total
    epsilon = float(document["guarantee"]["epsilon"])
    assert epsilon == pytest.approx(epsilon_of(total, Fraction(1, 10**6)), rel=1e-5)
    assert [parse_fraction(one["rho"]["exact"]) for one in document["rounds"]] == [
        plan.rho for plan in plans
    ]
    assert [one["contributed"] for one in document["rounds"]] == [["north", "east", "south"]] * 2
    assert document["rounds_combined"] is True
    (limit,) = [one for one in document["limits"] if "charged anew" in one["title"]]
    assert "together" in limit["text"]


def load_plan(played: PlayedRound) -> Any:
    return establish(played.papers, FIRST.papers).plan


def test_the_report_states_both_rounds(release: Path) -> None:
    page = (release / ReleaseFile.REPORT).read_text()
    assert "two rounds together" in page
    assert "both sums are combined" in page
    assert "not combined" not in page
    assert breaches(page) == ()


def test_a_release_of_one_round_says_nothing_of_rounds() -> None:
    basis = basis_of(FIRST)
    assert basis.rho == basis.plan.rho
    assert basis.epsilon == basis.plan.epsilon
    assert basis.evidence is basis.noisy


def test_the_summary_tells_the_total_and_whether_rounds_are_combined(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"followed": FIRST.papers, "now": NOW}
    both = write_release(tmp_path / "both", **SECOND.arguments, **arguments).to_json()
    one = write_release(tmp_path / "one", **ALONE.arguments, **arguments).to_json()
    assert both["earlier"] == {"study": "coffee-on-sleep", "combined": True}
    assert one["earlier"] == {"study": "coffee-on-sleep", "combined": False}
    assert both["budget"] == one["budget"]
    alone: Any = write_release(tmp_path / "first", **FIRST.arguments, now=NOW).to_json()
    assert alone["earlier"] is None
    assert alone["budget"]["epsilon"] < one["budget"]["epsilon"]  # type: ignore[index]


def test_with_other_survivors_the_later_sum_is_used_alone_and_an_alert_says_so(
    alone: Path,
) -> None:
    assert verify_release(alone, roster=ALONE.roster).ok
    basis = establish(ALONE.papers, FIRST.papers)
    assert np.allclose(table(load(alone)), table(fitted(basis, combined=False)), atol=1e-12)
    page = (alone / ReleaseFile.REPORT).read_text()
    assert "The two rounds are not combined" in page
    assert "only in the earlier one: south" in page
    assert "the sum of this round is used alone" in page
    assert statement(alone)["rounds_combined"] is False


def test_what_was_spent_is_stated_in_full_also_if_rounds_are_not_combined(
    release: Path, alone: Path
) -> None:
    assert statement(alone)["guarantee"]["rho"] == statement(release)["guarantee"]["rho"]


def test_sites_of_the_same_name_with_other_keys_are_other_sites() -> None:
    basis = establish(SECOND.papers, FIRST.papers)
    assert basis.followed is not None
    assert basis.earlier == (basis.followed.noisy,)
    roster = basis.roster
    impostor = replace(roster.sites[0], key=make_roster(("mallory",)).sites[0].key)
    forged = replace(roster, sites=(impostor, *roster.sites[1:]))
    followed = replace(basis.followed, roster=forged)
    assert replace(basis, followed=followed).earlier == ()


def papers_of(text: str, **options: Any) -> Papers:
    return play_round(text, **options).papers


THIRD = following(following())


@pytest.mark.parametrize(
    ("papers", "followed", "code"),
    [
        (SECOND.papers, None, "earlier-missing"),
        (FIRST.papers, SECOND.papers, "follows-none"),
        (SECOND.papers, SECOND.papers, "does-not-follow"),
        (papers_of(THIRD), SECOND.papers, "third-round"),
    ],
)
def test_papers_that_are_missing_or_of_another_study_are_refused(
    tmp_path: Path, papers: Papers, followed: Papers | None, code: str
) -> None:
    with pytest.raises(UsageError) as caught:
        write_release(
            tmp_path / "release",
            papers,
            followed=followed,
            signing_key=key_of("coordinator"),
            now=NOW,
        )
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_transcript_that_does_not_replay_is_refused(tmp_path: Path) -> None:
    cut = replace(FIRST.papers, transcript=FIRST.transcript[:-5])
    with pytest.raises(ConcauseError):
        write_release(tmp_path / "release", **SECOND.arguments, followed=cut, now=NOW)


@pytest.mark.parametrize(
    ("text", "model"), [(MIXED_TEXT, mixed_model()), (VISITS_TEXT, visits_model())]
)
def test_rounds_of_all_kinds_of_variables_are_combined_and_verify(
    tmp_path: Path, text: str, model: Model
) -> None:
    text = text.replace("n_min = 3", "n_min = 2")
    text = text.replace("budget = {", "synthetic = { rows = 300 }\nbudget = {")
    later = following(text).replace("rho = 0.5", "rho = 0.3")
    played: dict[str, Any] = {"vector": site_vector(model), "rows_per_site": 150}
    first, second = play_round(text, **played), play_round(later, counter=2, **played)
    summary = write_release(
        tmp_path / "release", **second.arguments, followed=first.papers, now=NOW
    )
    assert summary.earlier is not None
    assert summary.earlier.combined
    assert verify_release(tmp_path / "release", roster=second.roster).ok
