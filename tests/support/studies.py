"""Studies to test with: one small and complete, and any number made to measure."""

from collections.abc import Mapping, Sequence

from protocol.study.document import parse_study
from protocol.study.study import Study

STUDY_TEXT = """\
# Does quitting change weight?
format = "concause-study/1"
name = "quit-smoking"
title = "Quitting smoking and weight"
author = "A. Author"
expires = 2030-12-31

[budget]
epsilon = 3.0
delta = 1e-6

[cohort]
n_min = 3
tolerated_colluders = 0
threshold = 2

[trust]
aggregation = "masking"

[variables.sex]
kind = "categorical"
levels = ["female", "male"]
other = true

[variables.age]
kind = "numeric"
edges = [25, 35, 45.50, 75]
unit = "years"

[variables.quit]
kind = "boolean"

[variables.exercise]
kind = "ordinal"
levels = ["low", "medium", "high"]
missing = true

[variables.weight]
kind = "numeric"
edges = [-10, 0, 10, 20]
missing = true

[graph]
edges = [
    "sex -> quit",
    "age -> quit",
    "sex -> weight",
    "quit -> weight",
    "age -> exercise",
]

[[questions]]
name = "quit-on-weight"
kind = "average"
treatment = "quit"
treated = 1
reference = 0
outcome = "weight"

[questions.published]
low = 2.5
high = 4.5
source = "Somebody 2020"
"""


def edited(old: str, new: str, text: str = STUDY_TEXT) -> str:
    """Return the text with its only `old` replaced."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


def measured_study(
    sizes: Mapping[str, int],
    edges: Sequence[str],
    *,
    budget: str = "rho = 0.05",
    rows: int = 1,
    n_min: int = 3,
    colluders: int = 0,
    questions: Sequence[tuple[str, str]] = (),
) -> Study:
    """Return a study of ordinal variables with these sizes; questions are (treatment, outcome)."""
    parts = [
        'format = "concause-study/1"\nname = "made"\ntitle = "Made"\nauthor = "A"',
        f'expires = 2030-12-31\ntrust = {{ aggregation = "masking" }}\nbudget = {{ {budget} }}',
        f"unit = {{ max_rows_per_unit = {rows} }}",
        f"cohort = {{ n_min = {n_min}, tolerated_colluders = {colluders}, threshold = {n_min} }}",
        f"graph = {{ edges = {list(edges)} }}",
        *(
            f'[variables.{name}]\nkind = "ordinal"\nlevels = {_levels(sizes[name])}'
            for name in sizes
        ),
        *(
            f'[[questions]]\nname = "q{number}"\nkind = "average"\ntreatment = "{treatment}"\n'
            f'outcome = "{outcome}"\ntreated = "v1"\nreference = "v0"'
            for number, (treatment, outcome) in enumerate(questions)
        ),
    ]
    return parse_study("\n".join(parts))


def _levels(size: int) -> list[str]:
    return [f"v{code}" for code in range(size)]
