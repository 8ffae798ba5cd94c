"""A study's text with other edges; all else it says stays as it is, except its name and [plan]."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import tomlkit

from protocol.errors import UsageError
from protocol.study.document import parse_study
from protocol.study.quantities import MAX_NAME_CHARACTERS, decimal_text
from protocol.study.study import Study
from server.commands.directed_study import without_plan

SUFFIX = "-refined"


def with_edges(text: str, edges: Mapping[str, Sequence[Decimal]]) -> str:
    """Return the text of a study in which these variables have these edges.

    Its name gets a suffix. Its [plan] goes: weights are of the old tables, and the sums of other
    domains cannot be combined.

    Raises:
        UsageError: something in the study names the old bins.
    """
    document = tomlkit.parse(without_plan(text))
    document["name"] = _suffixed(str(document["name"]))
    for name, numbers in edges.items():
        array = tomlkit.array()
        array.extend(tomlkit.value(decimal_text(edge)) for edge in numbers)
        document["variables"][name]["edges"] = array
    refined = tomlkit.dumps(document)
    try:
        parse_study(refined)
    except UsageError as error:
        raise UsageError(
            "refined-study",
            f"Expected a study that stands with the new edges, found: {error.cause}",
            "Change first what names old bins: questions, or `impossible` of a mechanism.",
        ) from error
    return refined


def check_refinable(study: Study, first: Study, names: Sequence[str]) -> None:
    """Check that variables are the same in both studies.

    Raises:
        UsageError: naming the first that is not.
    """
    for name in names:
        if name not in study.variables or study.variables[name] != first.variables.get(name):
            raise UsageError(
                "other-variable",
                f"Expected a variable {name!r} that is the same in {study.name!r} and in the "
                f"release of {first.name!r}, found none or another.",
                "Check its name; use the release of a study in which it has the same edges.",
            )


def quantiles_asked(requests: Sequence[str]) -> dict[str, int]:
    """Return how many bins each variable is to have, from texts VARIABLE:BINS.

    Raises:
        UsageError: a text is something else, or a variable is named twice.
    """
    found: dict[str, int] = {}
    for request in requests:
        name, separator, bins = request.rpartition(":")
        if not separator or not bins.isdecimal() or name in found:
            raise UsageError(
                "not-quantiles",
                f"Expected VARIABLE:BINS, each variable once, found {request!r}.",
                "Write --quantiles age:8 --quantiles weight:10.",
            )
        found[name] = int(bins)
    return found


def _suffixed(name: str) -> str:
    return name[: MAX_NAME_CHARACTERS - len(SUFFIX)].rstrip("-") + SUFFIX
