"""Settings files of a site: TOML in, a checked model out, every mistake named by its field."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
}


class Section(BaseModel):
    """A table of a settings file: no unknown fields, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_settings(path: Path, model: type[Model], **context: Any) -> Model:  # noqa: ANN401
    """Return the settings in a TOML file; `context` is for the model's validators.

    Raises:
        UsageError: the file is missing, is not TOML, or a field is wrong; all are listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "settings-not-found",
            f"Expected settings at {path}, found no text file that can be read.",
            "Check the path. `concause site init` makes a site's settings.",
        ) from error
    return parse_settings(text, path, model, **context)


def parse_settings(text: str, path: Path, model: type[Model], **context: Any) -> Model:  # noqa: ANN401
    """Return the settings in TOML text that is, or will be, at `path`.

    Raises:
        UsageError: it is not TOML, or a field is wrong; all are listed.
    """
    try:
        document = tomllib.loads(text, parse_float=Decimal)
        return model.model_validate(document, context=context)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            "settings-not-toml", f"Expected TOML in {path}, found: {error}.", "Mend that line."
        ) from error
    except ValidationError as error:
        problems = "; ".join(_problem(found) for found in error.errors(include_url=False))
        raise UsageError(
            "settings-not-valid",
            f"Expected valid settings in {path}, found: {problems}.",
            "Mend these fields; what `concause site init` writes explains each.",
        ) from error


def _problem(found: Any) -> str:  # noqa: ANN401 - pydantic's own dictionary
    field = ".".join(str(part) for part in found["loc"]) or "the file"
    return f"{field} {_WORDS.get(found['type'], 'is wrong: ' + found['msg'])}"
