"""Variables, arrows and mechanisms together; and what kinds of nodes ask of the arrows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocol.graphs.mixed import MixedGraph
from protocol.graphs.trails import written
from protocol.study.families import REGRESSOR_KINDS, Family, families_of
from protocol.study.graph import CausalGraph
from protocol.study.mechanisms import NUMBER_KINDS, Mechanism
from protocol.study.problems import Problem, quote
from protocol.study.sections import Time
from protocol.study.time import base_name
from protocol.study.variables import Variable


@dataclass(frozen=True, slots=True)
class Structure:
    """What a study says of its variables, before it is known that all of it fits together."""

    variables: Mapping[str, Variable]
    mechanisms: Mapping[str, Mechanism]  # of every variable, defaults resolved
    graph: CausalGraph  # of mechanisms, over all visits
    time: Time | None

    def variable(self, name: str) -> Variable:
        """Return the variable of a node or column."""
        return self.variables[base_name(name)]

    def families(self) -> tuple[Family, ...]:
        """Return one family per mechanism."""
        return families_of(self.graph, self.variables, self.mechanisms)

    def is_static(self, name: str) -> bool:
        """Return whether a variable of a longitudinal study is the same at every visit."""
        return self.time is not None and name in self.time.static

    def beside(self, node: str, name: str) -> str:
        """Return the node of a variable at the visit of another node."""
        return name if self.is_static(name) else name + node.removeprefix(base_name(node))

    def order(self) -> tuple[str, ...]:
        """Return the variables, causes within a visit before their effects."""
        return tuple(dict.fromkeys(base_name(node) for node in self.graph.nodes))


def unmeasured_problems(
    variables: Mapping[str, Variable], graph: MixedGraph, mechanisms: Mapping[str, Mechanism]
) -> Iterator[Problem]:
    """Yield unmeasured causes of what a rule computes, or that tell which values are missing."""
    for name in graph.nodes:
        spouses = sorted(graph.spouses[name])
        if not spouses:
            continue
        is_rule = name in mechanisms and mechanisms[name].kind == "rule"
        if is_rule or variables[name].kind == "missingness":
            yield Problem(
                ("graph",),
                f"no unmeasured cause of {name!r}, which "
                + ("a rule computes" if is_rule else "says what is missing"),
                quote(written(graph.between(name, spouses[0]))),
                "the graph without it, or the cause as a measured variable",
            )


def survival_problems(structure: Structure) -> Iterator[Problem]:
    """Yield survival variables that cause something, or stand beside visits.

    An exit tells both a time and whether the event was seen; given it as a cause, a mechanism
    would be fitted to how long people were observed.
    """
    graph = structure.graph
    for name, variable in structure.variables.items():
        if variable.kind != "survival":
            continue
        where = ("variables", name)
        if structure.time is not None:
            yield Problem(
                (*where, "kind"),
                "no time to an event in a study with [time], which has visits for it",
                "'survival'",
                'kind = "boolean", with an arrow to the next visit and an impossible way back',
            )
        elif children := sorted(graph.children(name)):
            yield Problem(
                where,
                "a survival variable that causes nothing in the graph",
                quote(f"{name} -> {children[0]}"),
                "the graph without that arrow: a time to an event is an outcome",
            )


def number_problems(structure: Structure, hidden: frozenset[str]) -> Iterator[Problem]:
    """Yield numbers of a regression that may be missing in the model: they have no value then."""
    for family in structure.families():
        if family.mechanism.kind not in NUMBER_KINDS:
            continue
        for member in family.clique:
            name, variable = base_name(member), structure.variable(member)
            if variable.missing and name not in hidden and variable.kind in REGRESSOR_KINDS:
                yield Problem(
                    ("variables", name),
                    f"an indicator of {name!r}, a number in the mechanism of {family.node!r}",
                    "none",
                    f'[variables.{name}_missing] with kind = "missingness" and of = "{name}"',
                )
