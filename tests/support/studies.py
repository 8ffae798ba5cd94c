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


MIXED_TEXT = """\
format = "concause-study/1"
name = "mixed"
title = "Every kind of variable and mechanism"
author = "A. Author"
expires = 2030-12-31
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 2 }
trust = { aggregation = "masking" }

[variables]
sex = { kind = "categorical", levels = ["female", "male"], other = true }
smoker = { kind = "boolean", missing = true }
stage = { kind = "ordinal", levels = ["I", "II"], missing = true }
age = { kind = "numeric", edges = [25, 50, 75], detail = 3 }
crp = { kind = "numeric", edges = [0.1, 1, 100], detail = 2, spacing = "log", missing = true }
crp_missing = { kind = "missingness", of = "crp" }
visits = { kind = "count", edges = [0, 1, 3] }
dose = { kind = "numeric", edges = [0, 5, 10] }
treated = { kind = "boolean" }
pressure = { kind = "numeric", edges = [80, 120, 160] }
stay = { kind = "survival", edges = [0, 30, 90] }

[mechanisms]
treated = { kind = "logistic", statistic = "moments" }
visits = "poisson"
pressure = "gaussian"
dose = { kind = "rule", value = "where(sex == 'male', 0.1, 0.05) * age" }
stage = { kind = "ordinal", impossible = [{ sex = "male", stage = "II" }] }

[graph]
edges = [
    "sex -> stage", "sex -> smoker", "age -> crp", "sex -> crp_missing", "sex -> dose",
    "age -> dose", "dose -> treated", "sex -> treated", "age -> visits", "dose -> pressure",
    "treated -> pressure", "stage -> pressure", "treated -> stay",
]

[[questions]]
name = "treated-on-stay"
kind = "average"
measure = "risk"
treatment = "treated"
treated = 1
reference = 0
outcome = "stay"
"""

VISITS_TEXT = """\
format = "concause-study/1"
name = "visits"
title = "A longitudinal study with feedback"
author = "A. Author"
expires = 2030-12-31
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 2 }
trust = { aggregation = "masking" }
time = { visits = 3, static = ["sex"] }

[variables]
sex = { kind = "boolean" }
cd4 = { kind = "numeric", edges = [0, 350, 500], detail = 2, missing = true }
cd4_missing = { kind = "missingness", of = "cd4" }
load = { kind = "numeric", edges = [0, 3, 6] }
drug = { kind = "boolean" }
dead = { kind = "boolean" }
low = { kind = "boolean" }

[mechanisms]
load = "gaussian"
low = { kind = "rule", value = "load[t] < 2" }
dead = { kind = "categorical", impossible = [{ "dead[t-1]" = 1, "dead[t]" = 0 }] }

[graph]
edges = [
    "sex -> cd4[0]", "cd4[0] -> drug[0]", "sex -> load[0]", "load[0] -> low[0]",
    "cd4[t-1] -> cd4[t]", "drug[t-1] -> cd4[t]", "sex -> cd4_missing[t]", "cd4[t-1] -> drug[t]",
    "low[t] -> drug[t]", "load[t-1] -> load[t]", "drug[t-1] -> load[t]", "load[t] -> low[t]",
    "drug[t-1] -> dead[t]", "dead[t-1] -> dead[t]",
]

[[questions]]
name = "always-on-never"
kind = "average"
treatment = "drug"
treated = 1
reference = 0
outcome = "dead[2]"
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
