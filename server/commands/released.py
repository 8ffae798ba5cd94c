"""What commands about a release have in common: where it is, and the model in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import UsageError
from server.causal.answers.measures import Measure

if TYPE_CHECKING:
    from server.causal.model import Model

ReleasePath = Annotated[
    Path, typer.Argument(help="A release folder, or a model.json.", show_default=False)
]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the interval.")]
Treatment = Annotated[str, typer.Option(help="The variable that is set.")]
Outcome = Annotated[str, typer.Option(help="The variable that is compared.")]
Treated = Annotated[str, typer.Option(help="Its level, or its number, in the first world.")]
Reference = Annotated[str, typer.Option(help="Its level, or its number, in the second world.")]
MeasureOption = Annotated[
    Measure,
    typer.Option(help="What of the outcome; of a time to an event the mean is its risk."),
]
Event = Annotated[
    list[str] | None,
    typer.Option("--event", help="Ask for the probability of this level. May be repeated."),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--given", help="Among persons with NAME=LEVEL. May be repeated."),
]
Quantile = Annotated[float, typer.Option(help="With --measure quantile: which one.")]


def event_of(levels: list[str] | None) -> object:
    """Return the event that is asked for: one level, or any of several; None for the mean."""
    if not levels:
        return None
    return levels[0] if len(levels) == 1 else list(levels)


def given_of(texts: list[str] | None) -> dict[str, object]:
    """Return the levels that persons have, by node.

    Raises:
        UsageError: a text without NAME=, or a node given twice.
    """
    found: dict[str, object] = {}
    for text in texts or ():
        name, equals, level = text.partition("=")
        if not (equals and name.strip() and level.strip()) or name.strip() in found:
            raise UsageError(
                "not-an-assignment",
                f"Expected NAME=LEVEL, each name once, found {text!r}.",
                "For example --given sex=female.",
            )
        found[name.strip()] = level.strip()
    return found


def loaded(path: Path) -> "Model":
    """Return the model of a release.

    Raises:
        StorageError, UsageError: there is none that can be read.
    """
    from server.causal.model import load  # noqa: PLC0415 - pandas is slow to load

    return load(path)
