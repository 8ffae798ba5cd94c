"""The report: everything that a reader needs to judge a release, on one page that stands alone.

One HTML file with inline SVG: no script, no external reference, nothing to load. Its words
come from a study that others wrote, so every value passes through autoescaping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from protocol.study.quantities import decimal_text
from protocol.study.study import Study
from protocol.study.time import base_name
from server.release.alerts import Alert
from server.release.answers import LEVEL, Answer, number
from server.release.basis import Basis
from server.release.effect_figure import draw_effects
from server.release.folder import synthetic_names
from server.release.graph_figure import draw_graph
from server.release.limits import limits_of
from server.release.marginal_figure import draw_marginals
from server.release.marginals import Marginal, noisy_rows
from server.release.self_contained import POLICY
from server.release.statement import (
    Statement,
    rounded_up,
    row_bound,
    small,
)
from server.release.trust import trust_in_words

TEMPLATE, STYLE = "report.html.j2", "report.css"
_MOST_BLOCKS = 40  # rows of the block table; privacy.json has them all


@dataclass(frozen=True, slots=True)
class Findings:
    """What the report shows."""

    basis: Basis
    statement: Statement
    answers: Sequence[Answer]
    alerts: Sequence[Alert]
    marginals: Sequence[Marginal]
    release: str
    created: str  # ISO 8601, UTC
    provenance: Mapping[str, str]


def render_report(findings: Findings) -> str:
    """Return the report as one HTML document."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    return environment.from_string(_text(TEMPLATE)).render(
        findings=findings,
        study=findings.basis.study,
        basis=findings.basis,
        style=Markup(_text(STYLE)),  # noqa: S704 - our own file
        policy=POLICY,
        trust=trust_in_words(findings.basis),
        limits=limits_of(findings.basis),
        most_blocks=_MOST_BLOCKS,
        synthetic_files=synthetic_names(findings.basis.study.synthetic.copies),
        **_figures(findings),
        **_headlines(findings),
    )


def _figures(findings: Findings) -> Mapping[str, object]:
    study = findings.basis.study
    return {
        "graph": draw_graph(study),
        "effects": draw_effects(findings.answers),
        "marginals": draw_marginals(study, findings.marginals),
    }


def _headlines(findings: Findings) -> Mapping[str, object]:
    basis = findings.basis
    rows, rows_deviation = noisy_rows(basis.evidence)
    return {
        "verdict": verdict(basis.study, findings.answers),
        "level": f"{LEVEL:.0%}",
        "rows": rows,
        "rows_deviation": rows_deviation,
        "epsilon": rounded_up(basis.epsilon, 3),
        "delta": small(basis.plan.delta),
        "rho": rounded_up(basis.rho, 4),
        "rounds": _rounds(basis),
        "row_bound": row_bound(basis.study),
        "counted_rows": _counted_rows(basis.study),
        "unseen": _unseen(basis.study, findings.marginals),
        "intervention": _intervention(findings.answers),
        "simulated": any(answer.method == "simulation" for answer in findings.answers),
    }


def _rounds(basis: Basis) -> str:
    """Return how the loss of two rounds adds up, in a sentence; nothing for one round."""
    if basis.followed is None:
        return ""
    (one, first), (other, second) = (
        (rounded_up(plan.rho, 4), rounded_up(plan.epsilon, 3))
        for plan in (basis.followed.plan, basis.plan)
    )
    use = "both sums are combined" if basis.earlier else "the sum of this round is used alone"
    return (
        f"Two rounds: the study {basis.followed.study.name} cost ρ = {one} (ε = {first} by itself),"
        f" the one that follows it ρ = {other} (ε = {second}). ρ adds up; {use}."
    )


def _counted_rows(study: Study) -> str:
    """Return what the released row count counts, in the plural."""
    return "rows" if study.time is None else f"{study.unit.name}s at the first visit"


def _unseen(study: Study, marginals: Sequence[Marginal]) -> str:
    """Return the variables without a marginal, which were not measured by their levels."""
    shown = {base_name(marginal.node) for marginal in marginals}
    return ", ".join(name for name in study.variables if name not in shown)


def _intervention(answers: Sequence[Answer]) -> str:
    if not answers:
        return ""
    question = answers[0].question
    treated = question.treated
    shown = decimal_text(treated) if isinstance(treated, Decimal) else repr(treated)
    return f"{{{question.treatment!r}: {shown}}}"


def verdict(study: Study, answers: Sequence[Answer]) -> str:
    """Return the first answer in one sentence; without questions, what the release is."""
    if not answers:
        size = len(study.causal_graph.nodes)
        return f"A causal model of {size} variables, and data drawn from it"
    main = answers[0]
    unit = f" {main.unit}" if main.unit else ""
    return (
        f"{main.name}: {main.kind}{number(main.estimate)}{unit} "
        f"({LEVEL:.0%} interval {number(main.low)} to {number(main.high)})"
    )


def _text(name: str) -> str:
    return resources.files("server.release").joinpath(name).read_text(encoding="utf-8")
