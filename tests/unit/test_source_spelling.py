"""Which spellings mean which code."""

import pytest

from client.source.spelling import event_spellings, number_of, spellings
from protocol.study.variables import Variable
from tests.support.tables_source import single_study


def variable(text: str) -> Variable:
    return single_study(text).variables["x"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("1", 1.0), ("+1.50", 1.5), (".5", 0.5), ("5.", 5.0), ("-1e3", -1000.0)],
        *[("1_0", None), ("0x1", None), ("nan", None), ("inf", None), ("1e999", None)],
        *[("", None), ("١", None), ("1,5", None), ("1 ", None)],
    ],
)
def test_only_plain_finite_numbers_are_numbers(text: str, number: float | None) -> None:
    assert number_of(text) == number


def test_levels_are_spelled_by_text_and_by_number() -> None:
    found = spellings(variable('kind = "ordinal"\nlevels = ["1", "2.50", "x"]\nother = true'), {})
    assert found.by_text == {"1": 0, "2.50": 1, "x": 2, "OTHER": 3, "true": 0}
    assert found.by_number == {1.0: 0, 2.5: 1}


def test_the_sites_own_spelling_of_a_label_goes_before_the_label() -> None:
    domain = variable('kind = "categorical"\nlevels = ["1", "2"]')
    found = spellings(domain, {"1.0": "2", "2": "1"})
    assert found.by_text == {"1.0": 1, "2": 0, "1": 0, "true": 1}
    assert found.by_number == {1.0: 1, 2.0: 0}


def test_booleans_have_words() -> None:
    found = spellings(variable('kind = "boolean"'), {"ja": "1"})
    assert {"ja", "1", "true", "True", "TRUE"} == {t for t, code in found.by_text.items() if code}
    assert found.by_number == {0.0: 0, 1.0: 1}


def test_a_numeric_variable_is_spelled_by_the_site_and_by_missing_only() -> None:
    domain = variable('kind = "numeric"\nedges = [0, 1, 2]\nmissing = true')
    found = spellings(domain, {"999": "MISSING"})
    assert found.by_text == {"999": 2, "MISSING": 2}
    assert found.by_number == {999.0: 2}


def test_events_are_spelled_by_word_as_booleans_and_by_the_site() -> None:
    found = event_spellings({"died": "event", "0": "event"})
    assert (found.by_text["died"], found.by_text["event"], found.by_text["censored"]) == (1, 1, 0)
    assert (found.by_text["true"], found.by_text["False"], found.by_text["0"]) == (1, 0, 1)
    assert found.by_number == {0.0: 1, 1.0: 1}
