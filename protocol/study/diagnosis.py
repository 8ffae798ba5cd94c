"""From pydantic's errors to problems in the words of this project.

Each names the field, what was expected, what was found and what to write; an unknown field is
answered with the nearest known one.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from protocol.study.mechanisms import Mechanism
from protocol.study.problems import Path, Problem, StudyProblems, nearest, quote
from protocol.study.sections import (
    Budget,
    CliqueWeight,
    Cohort,
    GraphSource,
    PlanSection,
    Published,
    Question,
    Synthetic,
    Time,
    Trust,
    Unit,
)
from protocol.study.selection import Candidate, Selection
from protocol.study.study import Study
from protocol.study.variables import (
    Boolean,
    Categorical,
    Count,
    Missingness,
    Numeric,
    Ordinal,
    Survival,
)

_KINDS: Mapping[str, type[BaseModel]] = {
    "boolean": Boolean,
    "categorical": Categorical,
    "ordinal": Ordinal,
    "numeric": Numeric,
    "count": Count,
    "survival": Survival,
    "missingness": Missingness,
}
_TABLES: Mapping[str, type[BaseModel]] = {
    "unit": Unit,
    "budget": Budget,
    "cohort": Cohort,
    "trust": Trust,
    "graph": GraphSource,
    "synthetic": Synthetic,
    "published": Published,
    "questions": Question,
    "time": Time,
    "plan": PlanSection,
    "selection": Selection,
    "candidates": Candidate,
    "weights": CliqueWeight,
}
_KIND_EXAMPLE = "kind = " + ", ".join(f'"{kind}"' for kind in _KINDS)
EXAMPLES: Mapping[str, str] = {
    "format": 'format = "concause-study/1"',
    "name": 'name = "quit-smoking"',
    "title": 'title = "Quitting smoking and weight"',
    "author": 'author = "A. Author, B. Institute"',
    "author_key": 'author_key = "64 hex digits, the public key of who asks"',
    "description": 'description = "Why this is asked"',
    "expires": "expires = 2030-12-31",
    "selection": "[selection] with candidates",
    "candidates": 'candidates = [{ name = "short", edges = ["a -> b"] }, ...], two or more',
    "unit": 'a name such as "person"',
    "max_rows_per_unit": "max_rows_per_unit = 1",
    "max_rows_per_site": "max_rows_per_site = 100000",
    "budget": "[budget] with epsilon = 1.0 and delta = 1e-6",
    "epsilon": "epsilon = 1.0",
    "delta": "delta = 1e-6",
    "rho": "rho = 0.05",
    "cohort": "[cohort] with n_min = 3, tolerated_colluders = 0 and threshold = 2",
    "n_min": "n_min = 3",
    "tolerated_colluders": "tolerated_colluders = 0",
    "threshold": "threshold = 2",
    "trust": '[trust] with aggregation = "masking"',
    "aggregation": 'aggregation = "masking"',
    "variables": 'a table per variable, [variables.NAME] with kind = "boolean"',
    "kind": 'kind = "average"',
    "label": 'label = "Quit smoking"',
    "missing": "missing = true or missing = false",
    "other": "other = true or other = false",
    "levels": 'levels = ["low", "high"], each in quotes',
    "edges": 'edges = [0, 10, 20] for a variable, edges = ["a -> b"] for the graph',
    "graph": '[graph] with edges = ["a -> b"]',
    "dagitty": 'dagitty = "dag { a -> b }"',
    "site_specific": 'site_specific = ["age"], for mechanisms that differ from place to place',
    "latent": 'latent = ["u"], for causes that nobody measures',
    "time": '[time] with visits = 3 and static = ["sex"]',
    "visits": "visits = 3",
    "static": 'static = ["sex"]',
    "detail": "detail = 8",
    "spacing": 'spacing = "linear" or spacing = "log"',
    "of": 'of = "NAME OF A VARIABLE"',
    "mechanisms": '[mechanisms] with NAME = "categorical" or "gaussian"',
    "statistic": 'statistic = "table" or statistic = "moments"',
    "value": "value = 'where(age > 65, 1, 0)'",
    "impossible": 'impossible = [{ sex = "male", pregnant = "1" }]',
    "plan": "[plan] as `concause study direct` writes it",
    "follows": 'follows = "HASH OF THE EARLIER STUDY"',
    "weights": '[[plan.weights]] with clique = ["a", "b"] and weight = 2.5',
    "population": 'population = "units"',
    "clique": 'clique = ["a", "b"]',
    "questions": '[[questions]] with name, kind = "average", treatment, treated, ...',
    "treatment": 'treatment = "NAME OF A VARIABLE"',
    "treated": "treated = 1, or a level in quotes",
    "reference": "reference = 0, or a level in quotes",
    "outcome": 'outcome = "NAME OF A VARIABLE"',
    "measure": 'measure = "mean"',
    "weight": "weight = 1",
    "published": '[questions.published] with low = 1.0, high = 2.0, source = "..."',
    "low": "low = 1.0",
    "high": "high = 2.0",
    "source": 'source = "Author 2020, table 2"',
    "synthetic": "[synthetic] with rows = 10000 and seed = 1",
    "copies": "copies = 1",
    "rows": "rows = 10000",
    "seed": "seed = 1",
}
_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
}


def problems_in(error: ValidationError) -> list[Problem]:
    """Return every problem behind a ValidationError of `Study`, in the order of the document."""
    problems: list[Problem] = []
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    for detail in details:
        where = _place(detail["loc"])
        if detail["type"] == "too_short" and _has_inner(places, detail["loc"]):
            continue  # only too short because its entries were refused
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, StudyProblems):
            problems += [
                Problem((*where, *inner.where), inner.expected, inner.found, inner.remedy)
                for inner in cause.problems
            ]
        else:
            problems.append(_translated(where, dict(detail)))
    return problems


def _place(loc: Path) -> Path:
    """Drop what pydantic adds to a path: the kind of a variable, and its mark of keys."""
    tagged = len(loc) > 2 and loc[0] == "variables" and loc[2] in _KINDS
    path = (*loc[:2], *loc[3:]) if tagged else loc
    return tuple(part for part in path if part != "[key]")


def _has_inner(places: list[Path], outer: Path) -> bool:
    return any(len(place) > len(outer) and place[: len(outer)] == outer for place in places)


def _translated(where: Path, detail: Mapping[str, Any]) -> Problem:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        known = list(_model_at(detail["loc"][:-1]).model_fields)
        return Problem(where, "a known field", quote(where[-1]), nearest(str(where[-1]), known))
    if kind == "missing":
        return Problem(where, "this field", "nothing", _example(where))
    if kind == "union_tag_not_found":
        return Problem((*where, "kind"), "the kind of the variable", "nothing", _KIND_EXAMPLE)
    if kind == "union_tag_invalid":
        tag = detail["ctx"]["tag"]
        return Problem((*where, "kind"), "a known kind", quote(tag), nearest(tag, _KINDS))
    template = _EXPECTED.get(kind)
    context = {name: _bound(bound) for name, bound in detail.get("ctx", {}).items()}
    expected = template.format(**context) if template else str(detail["msg"])
    found = str(len(value)) if kind in ("too_short", "too_long") else quote(value)
    remedy = expected if kind == "literal_error" else _example(where)
    return Problem(where, expected, found, remedy)


def _bound(value: object) -> str:
    return re.sub(r"^Decimal\('(.*)'\)$", r"\1", str(value))


def _example(where: Path) -> str:
    named = where[:1] in (("variables",), ("mechanisms",))  # then the next part is a name of theirs
    parts = (*where[:1], *where[2:]) if named else where
    if parts == ("mechanisms", "kind"):
        return 'kind = "categorical" or "gaussian"'
    names = [part for part in parts if isinstance(part, str)]
    return next((EXAMPLES[name] for name in reversed(names) if name in EXAMPLES), "another value")


def _model_at(loc: Path) -> type[BaseModel]:
    """Return the model whose fields belong at `loc`, by the last table on the way."""
    if len(loc) > 2 and loc[0] == "variables":
        return _KINDS[str(loc[2])]
    if len(loc) > 1 and loc[0] == "mechanisms":
        return Mechanism
    names = [part for part in loc if isinstance(part, str)]
    return _TABLES[names[-1]] if names else Study
