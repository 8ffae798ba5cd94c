"""The report stands alone, shows what matters first, and trusts no word of the study."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from protocol.study.document import parse_study
from server.release.alerts import find_alerts
from server.release.answers import Answer
from server.release.basis import Basis
from server.release.graph_figure import draw_graph
from server.release.limits import LIMITS
from server.release.marginals import compare_marginals
from server.release.report import Findings, render_report
from server.release.self_contained import breaches
from server.release.statement import privacy_statement
from tests.support.release_rounds import STUDY, basis_of, play_round

ATTACK = "</title><script>alert('x')</script>\\\"><img src=x onerror=alert(1)>&amp;{{ 7*7 }}"
HOSTILE = (
    STUDY.replace("Coffee and hours of sleep", ATTACK)
    .replace('author = "Tests"', f'author = "{ATTACK}"\ndescription = "{ATTACK}"')
    .replace('label = "Sleep"', f'label = "{ATTACK}"')
    .replace("Sleep had everyone coffee, less had nobody", ATTACK)
    .replace("Invented et al. 2020", ATTACK)
    .replace('unit = "h"', 'unit = "<i>h</i>"')
    .replace('"night"', '"<b>night</b>"')
)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its base's
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def findings_of(basis: Basis, *, dropped_questions: bool = False) -> Findings:
    tallies = {
        node: np.full(basis.study.variables[node].size, 250, dtype=np.int64)
        for node in basis.study.causal_graph.nodes
    }
    questions = () if dropped_questions else basis.study.questions
    unit = str(getattr(basis.study.variables["sleep"], "unit", ""))
    answers = tuple(Answer(question, -0.71, -1.02, -0.4, unit) for question in questions)
    marginals = compare_marginals(basis.study, basis.noisy, tallies)
    return Findings(
        basis=basis,
        statement=privacy_statement(basis, "0.16.0"),
        answers=answers,
        alerts=find_alerts(basis, answers, marginals, []),
        marginals=marginals,
        release="coffee-on-sleep-0123456789ab",
        created="2026-02-03T04:05:06Z",
        provenance={"Study": basis.study.hash.hex()},
    )


@pytest.fixture(scope="module")
def basis() -> Basis:
    return basis_of(play_round(silent=("south",)))


@pytest.fixture(scope="module")
def document(basis: Basis) -> str:
    return render_report(findings_of(basis))


def words_of(document: str) -> _Words:
    reader = _Words()
    reader.feed(document)
    return reader


def test_the_report_loads_nothing_and_runs_nothing(document: str) -> None:
    assert breaches(document) == ()


def test_words_of_a_hostile_study_stay_words() -> None:
    hostile = basis_of(play_round(HOSTILE))
    document = render_report(findings_of(hostile))
    assert breaches(document) == ()
    read = words_of(document)
    assert not {"script", "img", "i", "b"} & set(read.tags)
    assert "{{ 7*7 }}" in read.words
    assert "<script>alert('x')</script>" in read.words


def test_verdict_and_three_numbers_come_before_everything_else(document: str) -> None:
    words = words_of(document).words
    order = [
        "Sleep had everyone coffee, less had nobody: −0.710 h (95% interval −1.02 to −0.400)",
        "2 of 3 sites",
        "Privacy loss of one person",
        "Main effect, on sleep",
        "Before you use it",
        "The causal graph that was assumed",
        "Effects",
        "Synthetic data against what was released",
        "Privacy statement",
        "Limits of every release",
        "How to use it",
        "Provenance",
    ]
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_every_limit_is_printed(document: str) -> None:
    words = words_of(document).words
    assert all(limit.title in words and limit.text in words for limit in LIMITS)


def test_contributing_and_dropped_sites_are_named(document: str) -> None:
    assert "north, east. Not in the sum: south." in words_of(document).words


def test_every_drawing_says_what_it_shows(document: str) -> None:
    drawings = re.findall(r"<svg[^>]*>", document)
    assert len(drawings) > 4
    assert all('role="img" aria-label=' in it or 'aria-hidden="true"' in it for it in drawings)


def test_ids_are_unique_and_labels_point_at_headings(document: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', document)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', document)) <= set(ids)


def test_the_same_findings_give_the_same_page(basis: Basis, document: str) -> None:
    assert render_report(findings_of(basis)) == document


def test_a_study_without_questions_has_a_report_without_effects(basis: Basis) -> None:
    study = basis.study.model_copy(update={"questions": ()})
    page = render_report(findings_of(replace(basis, study=study), dropped_questions=True))
    assert breaches(page) == ()
    assert "Effects" not in words_of(page).words
    assert "model.do" not in page


def test_without_a_positive_row_count_the_report_says_so(basis: Basis) -> None:
    noisy = replace(basis.noisy, values=-np.abs(basis.noisy.values))
    page = render_report(findings_of(replace(basis, noisy=noisy)))
    assert "The noisy row count is not positive" in words_of(page).words


def test_treatment_and_outcome_are_marked_in_the_graph(basis: Basis) -> None:
    drawing = draw_graph(basis.study)
    assert drawing.count('class="node treatment"') == 1
    assert drawing.count('class="node outcome"') == 1
    assert drawing.count('class="edge path"') == 1
    assert drawing.count('class="edge"') == 2


def test_a_graph_of_one_variable_is_drawn() -> None:
    assert draw_graph(parse_study(ONE_VARIABLE)).count("<rect") == 1


ONE_VARIABLE = (STUDY[: STUDY.index("[variables.coffee]")] + "[graph]\nedges = []\n").replace(
    "coffee-on-sleep", "alone"
)


def test_what_intervals_cover_is_said_as_it_was_measured(document: str) -> None:
    words = " ".join(words_of(document).words.split())
    assert "95% intervals include both chance and the privacy noise" in words
    assert "covered 88 to 98% of the true effects, and fewer where" in words  # decision 0004
