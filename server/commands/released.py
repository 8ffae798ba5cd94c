"""What commands about a release have in common: where it is, and the model in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.causal.model import Model

ReleasePath = Annotated[
    Path, typer.Argument(help="A release folder, or a model.json.", show_default=False)
]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the interval.")]


def loaded(path: Path) -> "Model":
    """Return the model of a release.

    Raises:
        StorageError, UsageError: there is none that can be read.
    """
    from server.causal.model import load  # noqa: PLC0415 - pandas is slow to load

    return load(path)
