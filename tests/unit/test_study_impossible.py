"""Impossible cells: structural zeros of a mechanism's table."""

import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, VISITS_TEXT, edited

CELLS = 'impossible = [{ sex = "male", stage = "II" }]'


def test_an_impossible_cell_is_false_in_the_table_of_its_family() -> None:
    study = parse_study(MIXED_TEXT)
    possible = study.possible(study.family_of("stage"))
    assert possible is not None
    assert possible.shape == study.model_sizes(("sex", "stage")) == (3, 3)
    assert np.argwhere(~possible).tolist() == [[1, 1]]
    assert study.possible(study.family_of("smoker")) is None


def test_columns_that_an_entry_does_not_name_may_be_anything() -> None:
    study = parse_study(edited(CELLS, 'impossible = [{ stage = "II" }]', MIXED_TEXT))
    possible = study.possible(study.family_of("stage"))
    assert possible is not None
    assert not possible[:, 1].any()
    assert possible[:, [0, 2]].all()


def test_with_visits_the_named_columns_say_which_mechanism_is_meant() -> None:
    study = parse_study(VISITS_TEXT)
    assert study.possible(study.family_of("dead[0]")) is None
    possible = study.possible(study.family_of("dead[2]"))
    assert possible is not None
    assert np.argwhere(~possible).tolist() == [[1, drug, 0] for drug in (0, 1)]


def test_order_and_spelling_of_cells_do_not_change_the_hash() -> None:
    first = '{ sex = "male", stage = "II" }'
    second = '{ sex = "OTHER", stage = "I" }'
    one, other = (
        parse_study(edited(CELLS, f"impossible = [{cells}]", MIXED_TEXT))
        for cells in (f"{first}, {second}", f'{second}, {{ stage = "II", sex = "male" }}')
    )
    assert one.hash == other.hash
    spelled = parse_study(VISITS_TEXT.replace('"dead[t]" = 0', '"dead[t]" = "0"'))
    assert spelled.hash == parse_study(VISITS_TEXT).hash


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ('{ sex = "male" }', "mechanisms.stage.impossible[1] (line 28): expected a level of 'sta"),
        ("{ }", "expected a level of 'stage', found nothing"),
        ('{ age = "[25, 50)", stage = "I" }', "expected 'stage' and its causes, found 'age'; wri"),
        ('{ sx = "male", stage = "I" }', "found 'sx'; write 'sex'"),
        ('{ sex = "mal", stage = "I" }', "a level that 'sex' has in the model, found 'mal'; write"),
        ('{ stage = "I" }, { stage = "I" }', "expected each impossible cell once"),
        (
            '{ stage = "I" }, { sex = "male", stage = "II" }, { sex = "male", stage = "MISSING" }',
            "expected a possible level of 'stage' whatever its causes are, found none for some",
        ),
    ],
)
def test_cells_that_are_none_of_the_family_or_leave_a_row_empty_are_refused(
    cells: str, message: str
) -> None:
    assert message in _refusal_of(edited(CELLS, f"impossible = [{cells}]", MIXED_TEXT))


def test_a_level_that_is_hidden_in_the_model_is_refused() -> None:
    text = edited(
        "[graph]",
        'crp = { kind = "binned", impossible = [{ crp = "MISSING" }] }\n[graph]',
        MIXED_TEXT,
    )
    assert "a level that 'crp' has in the model, found 'MISSING'" in _refusal_of(text)


def test_a_column_of_another_visit_is_refused() -> None:
    text = edited('"dead[t-1]" = 1', '"dead[0]" = 1', VISITS_TEXT)
    assert "expected 'dead[0]' and its causes, found 'dead[t]'" in _refusal_of(text)
    text = edited('"dead[t-1]" = 1, "dead[t]" = 0', "dead = 1", VISITS_TEXT)
    assert "expected a level of 'dead[0]' or 'dead[t]', found 'dead'" in _refusal_of(text)


def test_entries_over_too_many_columns_are_refused() -> None:
    levels = ", ".join(f"'v{number}'" for number in range(1100))
    wide = f'wide = {{ kind = "categorical", levels = [{levels}] }}\n'
    text = MIXED_TEXT.replace(
        "[variables]\n", f"[variables]\n{wide}{wide.replace('wide', 'wider')}"
    )
    text = edited('"sex -> stage",', '"wide -> stage", "wider -> stage",', text)
    cells = 'impossible = [{ wide = "v1", wider = "v1", stage = "II" }]'
    assert "with at most 1048576 cells together, found 3630000" in _refusal_of(
        edited(CELLS, cells, text)
    )


def _refusal_of(text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_study(text)
    assert refusal.value.code == "study-invalid"
    return str(refusal.value)
