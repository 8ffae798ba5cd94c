"""The study: everything that a consortium agrees on before any data is touched.

A `Study` is valid by construction. Its hash covers the canonical form (SPEC 2): defaults written
out, names sorted, arrows as a sorted list, numbers and dates as text. Where a table stands in
the file, comments and the notation of the graph do not change it.
"""

import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator, model_validator

from protocol import canonical
from protocol.canonical import Json
from protocol.graphs.mixed import MixedGraph
from protocol.identifiers import Digest
from protocol.study.consistency import problems_of, structure_of
from protocol.study.drawing import drawing_of, mixed_graph_of, texts_of
from protocol.study.families import Family
from protocol.study.graph import CausalGraph
from protocol.study.impossible import entry_codes, in_labels, possible_cells
from protocol.study.mechanisms import Mechanism, MechanismKind
from protocol.study.missingness import hidden_variables, indicators_of
from protocol.study.problems import refuse_any
from protocol.study.quantities import FilledText, KeyText, Slug, Text, VariableName, decimal_text
from protocol.study.questions import level_text, treated_nodes
from protocol.study.sections import (
    Budget,
    Cohort,
    Day,
    GraphSource,
    Measure,
    PlanSection,
    Question,
    Section,
    Synthetic,
    Time,
    Trust,
    Unit,
)
from protocol.study.selection import Selection, candidate_graph, selection_problems
from protocol.study.structure import Structure
from protocol.study.time import base_name, template_of
from protocol.study.variables import Missingness, Survival, Variable, model_labels

MAX_VARIABLES = 1000
MAX_QUESTIONS = 1000

Scores: TypeAlias = tuple[Fraction | None, ...]


class Study(Section):
    """A complete, consistent study; made by `protocol.study.document.parse_study`.

    `variables` is in the order of names, `questions` in the order of the file.
    """

    format: Literal["concause-study/1"]
    name: Slug
    title: FilledText
    author: FilledText
    author_key: KeyText | None = None
    description: Text = ""
    expires: Day
    unit: Unit = Unit()
    budget: Budget
    cohort: Cohort
    trust: Trust
    variables: dict[VariableName, Variable] = Field(min_length=1, max_length=MAX_VARIABLES)
    graph: GraphSource
    time: Time | None = None
    mechanisms: dict[str, Mechanism] = Field(default_factory=dict)
    questions: tuple[Question, ...] = Field(default=(), max_length=MAX_QUESTIONS)
    plan: PlanSection = PlanSection()
    synthetic: Synthetic = Synthetic()
    selection: Selection | None = None

    @field_validator("variables", mode="after")
    @classmethod
    def _by_name(cls, variables: dict[str, Variable]) -> dict[str, Variable]:
        return dict(sorted(variables.items()))  # so that nothing downstream sees the file's order

    @model_validator(mode="after")
    def _selects(self) -> "Study":
        if self.selection is not None:
            given = {"questions": self.questions, "mechanisms": self.mechanisms}
            others = [name for name, value in given.items() if value]
            others += ["plan"] if self.plan != PlanSection() else []
            refuse_any(
                selection_problems(self.variables, self.selection, self.trust, self.time, others)
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        refuse_any(
            problems_of(
                self.variables, self.graph, self.time, self.mechanisms, self.questions, self.unit
            )
        )
        return self

    @cached_property
    def candidates(self) -> dict[str, CausalGraph]:
        """Return the graphs that a selection chooses from, by name; none of other studies."""
        named = self.selection.candidates if self.selection else ()
        return {one.name: candidate_graph(self.variables, one) for one in named}

    @cached_property
    def mixed_graph(self) -> MixedGraph:
        """Return the causal graph over all variables, with pairs that unmeasured causes join."""
        return mixed_graph_of(self.variables, self.graph, self.time)

    @property
    def causal_graph(self) -> CausalGraph:
        """Return the causal graph over all variables; of a longitudinal study, over all visits."""
        return self.mixed_graph.arrows

    @property
    def mechanism_graph(self) -> CausalGraph:
        """Return the graph in which the parents of a node are what its mechanism reads.

        The causal graph, but where unmeasured causes join nodes: there all that tells of these
        is a parent (the Markov pillow).
        """
        return self.mixed_graph.markov

    def variable(self, name: str) -> Variable:
        """Return the variable of a node or column: of "cd4" for "cd4[2]" and "cd4[t-1]".

        Raises:
            KeyError: there is none.
        """
        return self.variables[base_name(name)]

    def sizes(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the number of codes that are measured of each node or column."""
        return tuple(self.variable(name).size for name in names)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """Return what each mechanism is fitted from; all visits but the first share theirs."""
        return self._structure.families()

    def family_of(self, node: str) -> Family:
        """Return the family that the mechanism of a node is fitted from."""
        return self._families_by_column[template_of(node)]

    @cached_property
    def _families_by_column(self) -> dict[str, Family]:
        return {family.node: family for family in self.families}

    def mechanism(self, name: str) -> Mechanism:
        """Return how the mechanism of a node or variable is fitted, defaults resolved."""
        return self._structure.mechanisms[base_name(name)]

    def mechanism_of(self, node: str) -> MechanismKind:
        """Return the kind of the mechanism of a node or variable."""
        return self.mechanism(node).kind

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """Return the variables that rules compute, none before one that its rule reads."""
        order = self._structure.order()
        return tuple(name for name in order if self.mechanism(name).kind == "rule")

    @cached_property
    def measured_variables(self) -> tuple[str, ...]:
        """Return the variables for which a site needs columns, in the order of names.

        Each has a family of its own that is measured, whose members may be indicators or rules:
        these the site computes, from these columns.
        """
        return tuple(
            name
            for name, variable in self.variables.items()
            if name not in self.rules and not isinstance(variable, Missingness)
        )

    @cached_property
    def indicators(self) -> dict[str, str]:
        """Return, per variable that has one, the variable that says whether it is missing."""
        return indicators_of(self.variables)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Return the variables that are never MISSING in the model, though they are in data."""
        return hidden_variables(self._structure)

    @cached_property
    def _structure(self) -> Structure:
        declared = {
            name: in_labels(mechanism, self.variables)
            for name, mechanism in self.mechanisms.items()
        }
        return structure_of(self.variables, self.mechanism_graph, self.time, declared)

    def model_labels(self, node: str) -> tuple[str, ...]:
        """Return the levels that a node has in the model, in code order."""
        return model_labels(self.variable(node), hidden=base_name(node) in self.hidden)

    def model_sizes(self, nodes: Sequence[str]) -> tuple[int, ...]:
        """Return the number of levels of each node in the model."""
        return tuple(len(self.model_labels(node)) for node in nodes)

    def model_scores(self, node: str, measure: Measure = "mean") -> Scores:
        """Return the number that each level of a node stands for in a mean; None if it has none.

        Of a survival node: 1 for an event ("risk", also for "mean"), or the time without event up
        to the last edge, with events at the middle of their interval ("restricted-mean").
        """
        variable = self.variable(node)
        if not isinstance(variable, Survival):
            return variable.scores[: len(self.model_labels(node))]
        if measure != "restricted-mean":
            return (*(Fraction(1) for _ in variable.intervals), Fraction(0))
        middles = ((Fraction(a) + Fraction(b)) / 2 for a, b in pairwise(variable.edges))
        return (*middles, Fraction(variable.edges[-1]))

    def possible(self, family: Family) -> NDArray[np.bool_] | None:
        """Return which cells of a family's table can be, shape (model sizes of its clique).

        None where the study declares no impossible cell of this family.
        """
        declared = [cells for cells in family.mechanism.impossible if family.node in cells]
        entries = [entry_codes(cells, self.variables) for cells in declared]
        sizes = self.model_sizes(family.clique)
        return possible_cells(family.clique, sizes, entries) if entries else None

    def treated_nodes(self, question: Question) -> tuple[str, ...]:
        """Return the nodes that a question sets: of a variable without index, every visit."""
        return treated_nodes(self.causal_graph, question.treatment)

    @cached_property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the study; `study_from_canonical` reads it back."""
        return canonical.encode(_document(self))

    @cached_property
    def hash(self) -> Digest:
        """Return the SHA-256 of the canonical form."""
        return Digest(hashlib.sha256(self.canonical).digest())


_OPTIONAL = {"selection", "author_key"}  # left out if not stated, like what is named below


def _document(study: Study) -> Json:
    drawing = drawing_of(study.variables, study.graph, study.time)
    named = {"latent": drawing.latent, "site_specific": study.graph.site_specific}
    unit = _fields(study.unit)
    stated = {name: value for name, value in _fields(study).items() if name not in _OPTIONAL}
    if study.selection is not None:
        stated["selection"] = _fields(study.selection)
    if study.author_key is not None:
        stated["author_key"] = study.author_key
    return stated | {
        # Left out if not stated, so that studies from before it was known keep their hash.
        "unit": {name: value for name, value in unit.items() if value is not None},
        "budget": _fields(study.budget) | {"delta": decimal_text(study.budget.delta_or_default)},
        "graph": {
            "edges": [*texts_of(drawing)],
            **{name: list(given) for name, given in named.items() if given},
        },
        "mechanisms": {
            name: _fields(study.mechanism(name))
            for name in study.variables
            if study.selection is None  # nothing is fitted
        },
        "questions": [_question(study, question) for question in study.questions],
    }


def _question(study: Study, question: Question) -> dict[str, Json]:
    treatment = study.variable(question.treatment)
    return _fields(question) | {
        "treated": level_text(treatment, question.treated),
        "reference": level_text(treatment, question.reference),
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
