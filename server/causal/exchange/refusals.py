"""Words for what cannot be read, written or converted, and for packages that are not there."""

import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

from protocol.errors import UsageError
from protocol.study.problems import quote

INSTALL_PYDOT = "pip install 'concause[formats]'"
INSTALL_PGMPY = "pip install 'concause[exchange]'"
INSTALL_DOWHY = INSTALL_PGMPY + " && pip install --no-deps dowhy==0.14"  # decision 0012


def graph_refusal(expected: str, found: object, remedy: str) -> UsageError:
    """Return the refusal of a graph; `found` is quoted and shortened."""
    return UsageError("graph-invalid", f"Expected {expected}, found {quote(found)}.", remedy)


def needed(module: str, what: str, install: str) -> ModuleType | Any:  # noqa: ANN401 - untyped
    """Return a package of an extra.

    Raises:
        UsageError: it is not installed; the remedy says how to install it.
    """
    package = module.partition(".")[0]
    try:
        with warnings.catch_warnings():  # of what these packages have moved, or still call
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            "package-missing",
            f"Expected the package {package} {what}, found that {error.name} is not installed.",
            f"Run: {install}",
        ) from error
