"""`concause study`: look at a study before anything is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from protocol.errors import UsageError
from protocol.privacy.expectation import expected_errors
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.commands.directed_study import with_plan, with_rho, without_plan
from server.commands.identification import identify
from server.commands.outlook import (
    Outlook,
    Persons,
    PriorPath,
    comparison_table,
    noise_before,
    outlook_document,
    outlook_of,
    outlook_tables,
    prior_for,
    read_model,
    reasons,
)
from server.commands.output import (
    JsonFlag,
    StudyFile,
    read_study,
    read_text,
    show,
    shown,
    write_text,
)
from server.commands.plan_view import (
    about_mechanisms,
    block_table,
    budget_table,
    mechanism_table,
    plan_document,
)
from server.commands.study_refinement import refine
from server.commands.two_rounds import Together, followed_model, rho_left, together
from server.estimation.design import directed_weights
from server.release.basis import check_is_first
from server.release.certainty import without_path

app = typer.Typer(no_args_is_help=True, help="Check a study and see what it would cost.")
app.command()(refine)
app.command()(identify)


@app.command()
def check(study_file: StudyFile, *, as_json: JsonFlag = False) -> None:
    """Check a study: every problem is named with its line and what to write instead."""
    study = read_study(study_file)
    line = f"study hash: {study.hash.hex()}"
    document = _study_document(study) | {"cautions": _cautions(study)}
    show(document, _study_table(study), *_cautions(study), line, as_json=as_json)


@app.command()
def plan(
    study_file: StudyFile,
    persons: Persons = None,
    prior: PriorPath = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show blocks, noise, budget and the expected error of every answer, before any is spent.

    Of a study that follows another, with --prior RELEASE of that one: errors of both rounds.
    """
    study, model = read_study(study_file), read_model(prior)
    statistics = compile_plan(study)
    mechanisms = expected_errors(study, statistics)
    believed, first = prior_for(study, model, persons), followed_model(study, model)
    outlook = outlook_of(study, statistics, believed, noise_before(first) if first else None)
    both = together(first.study, statistics) if first else None
    document = plan_document(study, statistics, mechanisms)
    show(
        document
        | {"persons": believed.persons, "questions": outlook_document(outlook)}
        | {"both_rounds": both and both.to_json()},
        budget_table(study, statistics),
        block_table(statistics),
        mechanism_table(mechanisms),
        *about_mechanisms(statistics, mechanisms, believed.persons),
        *outlook_tables(outlook, believed),
        *reasons(outlook),
        *_of_both_rounds(study, both),
        f"study hash: {study.hash.hex()}\nplan hash: {statistics.hash.hex()}",
        as_json=as_json,
    )


@app.command()
def direct(  # noqa: PLR0913 - one option per part of the request
    study_file: StudyFile,
    prior: PriorPath = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the study; without it, nothing is written.")
    ] = None,
    persons: Persons = None,
    total_epsilon: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What the round of --prior and this one may cost together; by default this one "
            "has the budget that the study says.",
        ),
    ] = None,
    *,
    follow: Annotated[
        bool,
        typer.Option(help="Combine with the round of --prior: same records, same sites."),
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Direct the budget of a study at its questions: write its section plan.

    The weight of every residual table comes from how much its noise hurts the answers, at the
    release of an earlier round or, without --prior, at random tables over the graph.
    """
    whole = read_text(study_file, "a study (TOML)")
    parse_study(whole)  # before it is edited
    model = read_model(prior)
    first = model.study if model is not None and follow else None
    text = _within_total(without_plan(whole), first, total_epsilon)
    study = parse_study(text)
    believed = prior_for(study, model, persons)
    statistics = compile_plan(study)
    earlier = noise_before(model) if model is not None and follow else None
    weights = directed_weights(study, statistics, believed, earlier)
    directed_text = with_plan(text, weights, first.hash.hex() if first else None)
    directed = parse_study(directed_text)
    plan_of = compile_plan(directed)
    before = outlook_of(study, statistics, believed, earlier)
    after = outlook_of(directed, plan_of, believed, earlier)
    both = together(first, plan_of) if first else None
    if out is not None:
        write_text(out, directed_text)
    show(
        _directed_document(directed, before, after) | {"both_rounds": both and both.to_json()},
        comparison_table(before, after, believed),
        *reasons(after),
        *([both.line] if both else []),
        f"study hash: {directed.hash.hex()}",
        f"study written to {shown(out)}" if out else "nothing written; add --out FILE",
        as_json=as_json,
    )


def _within_total(text: str, first: Study | None, total_epsilon: float | None) -> str:
    """Return the text with the budget that a first round leaves of a total, if one is given."""
    if first is not None:
        check_is_first(first)
    if total_epsilon is None:
        return text
    if first is None:
        raise UsageError(
            "no-first-round",
            "Expected the release of a first round with --total-epsilon, found none to follow.",
            "Give it with --prior, or write the budget into the study.",
        )
    return with_rho(text, rho_left(total_epsilon, parse_study(text).budget.delta_or_default, first))


def _of_both_rounds(study: Study, both: Together | None) -> list[str]:
    if both is not None:
        return [both.line]
    if study.plan.follows is not None:
        return ["errors of this round alone; for both rounds add --prior RELEASE of the first"]
    return []


def _study_document(study: Study) -> dict[str, Any]:
    graph = study.causal_graph
    return {
        "name": study.name,
        "title": study.title,
        "study_hash": study.hash.hex(),
        "expires": study.expires.isoformat(),
        "variables": {name: list(variable.labels) for name, variable in study.variables.items()},
        "edges": [[parent, node] for node in graph.nodes for parent in graph.parents[node]],
        "questions": [question.name for question in study.questions],
    }


def _cautions(study: Study) -> list[str]:
    """Return what is allowed and may not be meant."""
    found = [(one.name, without_path(study, one.treatment, one.outcome)) for one in study.questions]
    return [f"caution: question {name}: {reason}" for name, reason in found if reason]


def _study_table(study: Study) -> Table:
    table = Table("variable", "kind", "levels", "parents", "mechanism", title=f"{study.title}")
    for family in study.families:
        variable = study.variable(family.node)
        table.add_row(
            family.node,
            variable.kind,
            str(variable.size),
            ", ".join(family.parents),
            family.mechanism.kind,
        )
    questions = ", ".join(question.name for question in study.questions)
    table.caption = f"questions: {questions}"
    return table


def _directed_document(study: Study, before: Outlook, after: Outlook) -> dict[str, Any]:
    return {
        "study_hash": study.hash.hex(),
        "follows": study.plan.follows,
        "weights": [
            {"clique": list(entry.clique), "weight": str(entry.weight)}
            for entry in study.plan.weights
        ],
        "before": outlook_document(before),
        "questions": outlook_document(after),
    }
