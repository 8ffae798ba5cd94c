"""A study in plain words, for people who have to say yes or no to it.

One page: who asks, what, which records, what leaves, who sees it, what it costs in privacy, how
exact it can be, what is left afterwards, and what to ask back.
"""

from dataclasses import dataclass
from math import exp, log10, sqrt

from client.gate.proposal import Proposal
from protocol.privacy.plan import StatisticsPlan
from protocol.study.study import Study


@dataclass(frozen=True, slots=True)
class Page:
    """A title, and paragraphs under headings."""

    title: str
    sections: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Return the page as plain text."""
        parts = [f"{heading.upper()}\n{text}" for heading, text in self.sections]
        return "\n\n".join([self.title, *parts])


def review_of(proposal: Proposal) -> Page:
    """Return the page on a proposal."""
    study, plan = proposal.examined.study, proposal.examined.plan
    return Page(
        f"{study.title} ({study.name})",
        (
            ("Who asks", _who(study)),
            ("What is asked", _questions(study)),
            ("Which records are used", _records(study)),
            ("What leaves this site", _leaves(plan, study)),
            ("Who can see it", _visible(proposal)),
            ("What it costs in privacy", _privacy(plan, study)),
            ("How exact it can be", _error(plan, study)),
            ("What is left of the budget", _budget(proposal)),
            ("What a reviewer should ask", _ask_back(study, plan)),
        ),
    )


def _who(study: Study) -> str:
    last = f"The study may be asked until {study.expires.isoformat()}."
    described = f"{study.description}\n" if study.description else ""
    return f"{study.author}.\n{described}{last}"


def _questions(study: Study) -> str:
    asked = [f"- {each.label or each.name}" for each in study.questions]
    if study.selection is not None:
        asked.append("- Which of several causal graphs fits the records best.")
    return "\n".join(asked or ["No single question: a model of all variables, to draw from."])


def _records(study: Study) -> str:
    lines = [
        f"- {name}: {variable.kind}, {_domain(variable.labels)}"
        for name, variable in study.variables.items()
    ]
    return "\n".join([f"For each {study.unit.name}:", *lines])


def _domain(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:6])
    return shown if len(labels) <= 6 else f"{shown}, ... ({len(labels)} in all)"


def _leaves(plan: StatisticsPlan, study: Study) -> str:
    sums = "shares of sums" if study.trust.aggregation == "aggregators" else "masked sums"
    return (
        f"{plan.length:,} integers: {sums} over all records, with random noise added here before "
        "they leave. No record, no list of persons, no count of this site alone."
    )


def _visible(proposal: Proposal) -> str:
    roster, cohort = proposal.examined.roster, proposal.examined.study.cohort
    return (
        f"The coordinator of {roster.name} sees the sum of at least {cohort.n_min} of "
        f"{len(roster.sites)} sites ({', '.join(site.name for site in roster.sites)}), with the "
        "noise of all of them, and the model made from it; it may publish both. "
        + _colluders(cohort.tolerated_colluders)
    )


def _colluders(tolerated: int) -> str:
    if tolerated == 0:
        return "No other site is counted on to work against this one."
    return (
        f"Even {tolerated} of the other sites, working together with it, do not see this site's "
        "part without the noise of the rest."
    )


def _privacy(plan: StatisticsPlan, study: Study) -> str:
    bound = 100 / (1 + exp(-plan.epsilon))
    return (
        f"rho {float(plan.rho):.4g}, which is epsilon {plan.epsilon:.3g} at delta "
        f"{float(plan.delta):.0e}, for one {study.unit.name}.\nIn words: suppose someone gave even "
        f"odds on whether one {study.unit.name}'s records were used at all, knowing everything "
        f"about everybody else. Having seen all that is published, they could be at most "
        f"{bound:.0f} % sure, but for a chance of about one in 10^{-log10(float(plan.delta)):.0f}. "
        "What is true of the whole population, they may learn; that is the study's purpose."
    )


def _error(plan: StatisticsPlan, study: Study) -> str:
    deviations = sorted(
        sqrt(plan_block.variance(study.cohort.n_min)) / plan_block.unit
        for plan_block in plan.blocks
    )
    low, high = deviations[0], deviations[-1]
    spread = f"{low:,.1f}" if high - low < 0.05 * high else f"{low:,.1f} to {high:,.1f}"
    return (
        f"The noise in a sum of {study.cohort.n_min} sites has a standard deviation of {spread} "
        f"(in {study.unit.name}s, where it is a count). `concause study plan` shows what that "
        "means for each question."
    )


def _budget(proposal: Proposal) -> str:
    lifetime = float(proposal.examined.policy.caps.lifetime)
    if not proposal.is_affordable:
        return (
            f"NOT ENOUGH for one round: rho {float(proposal.left_before):.4g} of {lifetime:.4g} is "
            f"left, and this study has spent {float(proposal.spent_on_study):.4g}."
        )
    share = float(proposal.left_after) / lifetime
    return (
        f"Of a lifetime's rho {lifetime:.4g}, {float(proposal.left_before):.4g} is left now and "
        f"{float(proposal.left_after):.4g} ({share:.0%}) after one round. What is spent never "
        "comes back, also if the study is withdrawn."
    )


def _ask_back(study: Study, plan: StatisticsPlan) -> str:
    asked = [
        "Is every variable above needed for the question?",
        "Could the levels alone single out a person (a rare disease, a date, a small place)?",
        "Who answers for the causal graph, and did someone from this field look at it?",
        "Does an ethics vote or a contract cover this use, and this list of sites?",
    ]
    if plan.epsilon > 3:
        asked.append("The cost is high: would fewer variables or coarser bins do?")
    if study.unit.max_rows_per_unit > 1:
        asked.append(f"Are {study.unit.max_rows_per_unit} rows per {study.unit.name} right here?")
    if study.cohort.tolerated_colluders == 0:
        asked.append("No site is assumed to work against us: is that so?")
    return "\n".join(f"- {each}" for each in asked)
