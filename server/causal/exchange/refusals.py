"""Words for what cannot be read, written or converted, and for packages that are not there."""

from importlib import import_module
from types import ModuleType
from typing import Any

from protocol.errors import UsageError
from protocol.study.problems import quote

PIP_DOWHY = "pip install 'concause[exchange]' && pip install --no-deps dowhy==0.14"


def graph_refusal(expected: str, found: object, remedy: str) -> UsageError:
    """Return the refusal of a graph; `found` is quoted and shortened."""
    return UsageError("graph-invalid", f"Expected {expected}, found {quote(found)}.", remedy)


def needed(module: str, what: str, install: str) -> ModuleType | Any:  # noqa: ANN401 - untyped
    """Return a package of an extra.

    Raises:
        UsageError: it is not installed; the remedy says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise UsageError(
            "package-missing",
            f"Expected the package {package} {what}, found that {error.name} is not installed.",
            f"Run: {install}",
        ) from error
