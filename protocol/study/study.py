"""The study: everything that a consortium agrees on before any data is touched.

A `Study` is valid by construction. Its hash covers the canonical form (SPEC 2): defaults written
out, names sorted, arrows as a sorted list, numbers and dates as text. Where a table stands in
the file, comments and the notation of the graph do not change it.
"""

import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Literal, TypeAlias

from pydantic import BaseModel, Field, field_validator, model_validator

from protocol import canonical
from protocol.canonical import Json
from protocol.identifiers import Digest
from protocol.study.consistency import graph_of, problems_of
from protocol.study.graph import CausalGraph
from protocol.study.problems import refuse_any
from protocol.study.quantities import FilledText, Slug, Text, VariableName, decimal_text
from protocol.study.sections import (
    Budget,
    Cohort,
    Day,
    GraphSource,
    Question,
    Section,
    Synthetic,
    Trust,
    Unit,
)
from protocol.study.variables import Variable

MAX_VARIABLES = 1000
MAX_QUESTIONS = 1000

Mechanism: TypeAlias = Literal["categorical", "binned"]


class Study(Section):
    """A complete, consistent study; made by `protocol.study.document.parse_study`.

    `variables` is in the order of names, `questions` in the order of the file.
    """

    format: Literal["concause-study/1"]
    name: Slug
    title: FilledText
    author: FilledText
    description: Text = ""
    expires: Day
    unit: Unit = Unit()
    budget: Budget
    cohort: Cohort
    trust: Trust
    variables: dict[VariableName, Variable] = Field(min_length=1, max_length=MAX_VARIABLES)
    graph: GraphSource
    mechanisms: dict[str, Mechanism] = Field(default_factory=dict)
    questions: tuple[Question, ...] = Field(default=(), max_length=MAX_QUESTIONS)
    synthetic: Synthetic = Synthetic()

    @field_validator("variables", mode="after")
    @classmethod
    def _by_name(cls, variables: dict[str, Variable]) -> dict[str, Variable]:
        return dict(sorted(variables.items()))  # so that nothing downstream sees the file's order

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        refuse_any(problems_of(self.variables, self.graph, self.mechanisms, self.questions))
        return self

    @cached_property
    def causal_graph(self) -> CausalGraph:
        """Return the causal graph over all variables."""
        return graph_of(self.variables, self.graph)

    def sizes(self, clique: Sequence[str]) -> tuple[int, ...]:
        """Return the number of codes of each variable of `clique`."""
        return tuple(self.variables[name].size for name in clique)

    def mechanism_of(self, node: str) -> Mechanism:
        """Return how P(node | parents) is fitted; by default binned for a numeric variable."""
        default: Mechanism = "binned" if self.variables[node].kind == "numeric" else "categorical"
        return self.mechanisms.get(node, default)

    @cached_property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the study; `study_from_canonical` reads it back."""
        return canonical.encode(_document(self))

    @cached_property
    def hash(self) -> Digest:
        """Return the SHA-256 of the canonical form."""
        return Digest(hashlib.sha256(self.canonical).digest())


def _document(study: Study) -> Json:
    graph = study.causal_graph
    return _fields(study) | {
        "budget": _fields(study.budget) | {"delta": decimal_text(study.budget.delta_or_default)},
        "graph": {"edges": [f"{cause} -> {effect}" for cause, effect in graph.edges()]},
        "mechanisms": {node: study.mechanism_of(node) for node in graph.nodes},
        "questions": [_question(study, question) for question in study.questions],
    }


def _question(study: Study, question: Question) -> dict[str, Json]:
    treatment = study.variables[question.treatment]
    return _fields(question) | {
        "treated": treatment.labels[treatment.code_of(question.treated)],
        "reference": treatment.labels[treatment.code_of(question.reference)],
    }


def _fields(section: BaseModel) -> dict[str, Json]:
    return {name: _plain(getattr(section, name)) for name in type(section).model_fields}


def _plain(value: object) -> Json:
    match value:
        case BaseModel():
            return _fields(value)
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case tuple():
            return [_plain(item) for item in value]
        case Decimal():
            return decimal_text(value)
        case date():
            return value.isoformat()
        case None | bool() | int() | str():
            return value
    raise AssertionError(f"a study holds no {type(value).__name__}")
