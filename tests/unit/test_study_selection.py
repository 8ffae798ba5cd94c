"""Studies that select: what they may say, their plan, and what a site measures for them."""

from fractions import Fraction

import numpy as np
import pytest

from client.measure.statistics import measure
from client.source.count_source import Counts
from protocol.errors import UsageError
from protocol.privacy.limits import MAX_SCORE, check_overflow
from protocol.privacy.plan import compile_plan
from protocol.privacy.scores import PER_FAMILY, family_score
from protocol.study.document import parse_study, study_from_canonical
from protocol.study.graph import Clique

TEXT = """
format = "concause-study/1"
name = "which-graph"
title = "Which graph"
author = "A"
expires = 2030-12-31
budget = { rho = 0.1 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "aggregators" }
unit = { max_rows_per_unit = 2, max_rows_per_site = 1000 }

[variables.a]
kind = "boolean"

[variables.b]
kind = "ordinal"
levels = ["1", "2", "3"]

[variables.c]
kind = "boolean"

[graph]
edges = ["a -> b"]

[selection]
candidates = [
    { name = "chain", edges = ["a -> b", "b -> c"] },
    { name = "fork", edges = ["a -> b", "a -> c"] },
    { name = "both", edges = ["a -> b", "a -> c", "b -> c"] },
    { name = "none", edges = ["a -> b"] },
]
"""
STUDY = parse_study(TEXT)


class Records:
    """Three columns of codes."""

    def __init__(self, rows: int) -> None:
        source = np.random.default_rng(rows)
        self.codes = {"a": source.integers(0, 2, rows), "b": source.integers(0, 3, rows)}
        self.codes["c"] = np.where(source.random(rows) < 0.9, self.codes["a"], 1)

    def counts(self, cliques: list[Clique], _: str = "units") -> dict[Clique, Counts]:
        return {clique: self.table(clique) for clique in cliques}

    def table(self, clique: Clique) -> Counts:
        sizes = [STUDY.variables[name].size for name in clique]
        found = np.zeros(sizes, np.int64)
        if clique:
            np.add.at(found, tuple(self.codes[name] for name in clique), 1)
        else:
            found[()] = self.codes["a"].size
        return found


def test_a_selection_measures_one_score_for_each_candidate_and_nothing_else() -> None:
    plan = compile_plan(STUDY)
    (block,) = plan.blocks
    assert (block.kind, block.shape, plan.length) == ("scores", (4,), 4)
    assert plan.layout.narrow == 0  # scores are compared in the wide ring
    assert not plan.families


def test_only_families_that_not_all_share_are_charged() -> None:
    """Of c: from b, from a, from both, from none; two rows of a unit each."""
    (block,) = compile_plan(STUDY).blocks
    assert block.squared_sensitivity == 3 * (2 * PER_FAMILY) ** 2


def test_a_site_scores_each_candidate_by_its_own_families() -> None:
    records, plan = Records(800), compile_plan(STUDY)
    found = measure(plan, STUDY, records)  # type: ignore[arg-type]
    assert found.tolist() == [
        family_score(records.table(("b", "c"))),
        family_score(records.table(("a", "c"))),
        family_score(records.table(("a", "b", "c"))),
        0,
    ]
    assert found.argmax() == 1  # as the records were made


def test_a_site_with_more_rows_than_the_study_promises_takes_no_part() -> None:
    with pytest.raises(UsageError) as refused:
        measure(compile_plan(STUDY), STUDY, Records(1001))  # type: ignore[arg-type]
    assert refused.value.code == "too-many-rows"


def test_a_selection_comes_back_from_its_canonical_form() -> None:
    again = study_from_canonical(STUDY.canonical)
    assert again.hash == STUDY.hash
    assert again.candidates == STUDY.candidates
    turned = '["a -> b", "c -> b"]'
    changes = (("chain", "chains"), ('["a -> b", "b -> c"]', turned))
    hashes = {parse_study(TEXT.replace(*change)).hash for change in changes}
    assert len({*hashes, STUDY.hash}) == 3


def test_other_studies_keep_their_hash() -> None:
    plain = parse_study(TEXT[: TEXT.index("[selection]")])
    assert b"selection" not in plain.canonical


REFUSED = {
    "one candidate": ('    { name = "fork", edges = ["a -> b", "a -> c"] },\n', "", None),
    "masking": ('"aggregators"', '"masking"', "trust.aggregation"),
    "a circle": ('["a -> b", "b -> c"]', '["a -> b", "b -> a"]', "selection.candidates[1].edges"),
    "a stranger": ('["a -> b", "b -> c"]', '["a -> z"]', "selection.candidates[1].edges"),
    "one name twice": ('"fork"', '"chain"', "selection.candidates[2].name"),
    "unmeasured causes": ('["a -> b", "b -> c"]', '["a <-> b", "b -> c"]', "candidates[1]"),
    "time": ("[graph]", "[time]\nvisits = 2\n\n[graph]", "time"),
    "survival": (
        '[variables.c]\nkind = "boolean"',
        '[variables.c]\nkind = "survival"\nedges = [0, 1, 2]',
        "variables.c.kind",
    ),
}


@pytest.mark.parametrize(("old", "new", "where"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_selection_is_refused_where_it_stands(
    old: str, new: str, where: str | None
) -> None:
    text = TEXT
    if where is None:
        start, end = TEXT.index('    { name = "fork"'), TEXT.index("]\n", TEXT.index('"none"') + 30)
        text = TEXT[:start] + TEXT[end:]
    else:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(UsageError) as refused:
        parse_study(text)
    assert refused.value.code == "study-invalid"
    assert (where or "candidates") in str(refused.value)


def test_candidates_that_are_all_the_same_are_refused() -> None:
    names = ("chain", "fork", "both")
    text = TEXT
    for name in names:
        start = text.index(f'"{name}", edges = ') + len(f'"{name}", edges = ')
        text = text[:start] + '["a -> b"] },\n' + text[text.index("\n", start) + 1 :]
    with pytest.raises(UsageError, match="candidates whose families differ"):
        parse_study(text)


def test_questions_have_no_place_in_a_selection() -> None:
    question = (
        '\n[[questions]]\nname = "q"\nkind = "average"\ntreatment = "a"\ntreated = 1\n'
        'reference = 0\noutcome = "c"\n'
    )
    with pytest.raises(UsageError, match=r"nothing beside \[selection\]"):
        parse_study(TEXT + question)


def test_scores_leave_room_to_be_compared() -> None:
    check_overflow((), Fraction(MAX_SCORE - 1), of_scores=True)
    with pytest.raises(UsageError):
        check_overflow((), Fraction(MAX_SCORE), of_scores=True)
    assert MAX_SCORE * 64 * 2 < 2**63
