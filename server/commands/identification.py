"""`concause study identify`: how an effect follows from what is measured, or what prevents it."""

from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import UsageError
from protocol.study.problems import listed
from protocol.study.study import Study
from server.commands.output import JsonFlag, StudyFile, read_study, show

if TYPE_CHECKING:
    from protocol.graphs.identification import Identification

_OTHERWISE = {
    "order": "With the nodes in another order a model would have it: a collider on that path is "
    "fitted before the treatment.",
    "formula": "A formula for it exists, but no mechanism of a fitted model has it.",
}


def identify(
    study_file: StudyFile,
    treatment: Annotated[
        str | None, typer.Option(help="The variable that is set; by default, all questions.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="The variable that is compared.")] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Say whether the graph identifies an effect: by which sets, or which path prevents it."""
    from server.causal.worlds.identification import identify_effect  # noqa: PLC0415 - slow

    study = read_study(study_file)
    found = [identify_effect(study, *pair) for pair in _asked(study, treatment, outcome)]
    lines = [line for one in found for line in _lines(one)]
    show({"effects": [_document(one) for one in found]}, *lines, as_json=as_json)


def _asked(study: Study, treatment: str | None, outcome: str | None) -> list[tuple[str, str]]:
    if (treatment is None) != (outcome is None):
        raise UsageError(
            "half-a-question",
            "Expected --treatment and --outcome together, found one of them.",
            "Give both, or none for the questions of the study.",
        )
    if treatment is not None and outcome is not None:
        return [(treatment, outcome)]
    if not study.questions:
        raise UsageError(
            "no-questions",
            "Expected questions in the study, found none.",
            "Give --treatment and --outcome.",
        )
    return [(question.treatment, question.outcome) for question in study.questions]


def _lines(found: "Identification") -> list[str]:
    first = f"{listed(found.treated)} on {found.outcome!r}: {found.text}"
    return [first, *([_OTHERWISE[found.otherwise]] if found.otherwise else [])]


def _document(found: "Identification") -> dict[str, object]:
    return {
        "treated": list(found.treated),
        "outcome": found.outcome,
        "identified": found.identified,
        "how": found.how,
        "sets": [list(one) for one in found.sets],
        "path": " ".join(found.path),
        "otherwise": found.otherwise,
        "text": found.text,
    }
