"""A study's text with its budget directed at its questions; all else it says stays as it is."""

from collections.abc import Mapping, MutableMapping
from decimal import Decimal

import tomlkit
from tomlkit.items import Array, InlineTable

from protocol.study.graph import Clique
from protocol.study.quantities import decimal_text

_COMMENT = "by `concause study direct`: how much the noise of each residual table matters"


def without_plan(text: str) -> str:
    """Return the text of a study without its [plan]."""
    document = tomlkit.parse(text)
    document.pop("plan", None)
    return tomlkit.dumps(document)


def with_plan(text: str, weights: Mapping[Clique, Decimal], follows: str | None) -> str:
    """Return the text of a study with a [plan] of these weights at its end, in place of any."""
    section = tomlkit.table()
    if follows is not None:
        section.add("follows", follows)
    section.add(tomlkit.comment(_COMMENT))
    section.add("weights", _array(weights))
    document = tomlkit.document()
    document.add("plan", section)
    return f"{without_plan(text).rstrip()}\n\n{tomlkit.dumps(document)}"


def with_rho(text: str, rho: Decimal) -> str:
    """Return the text of a study with this budget in place of its own; delta stays."""
    document = tomlkit.parse(text)
    budget = document["budget"]
    if isinstance(budget, InlineTable):  # made anew, since tomlkit leaves gaps in an old one
        delta = budget.get("delta")
        budget = document["budget"] = tomlkit.inline_table()
        if delta is not None:
            budget["delta"] = delta
    assert isinstance(budget, MutableMapping)  # noqa: S101 - the study was parsed before
    budget.pop("epsilon", None)
    budget["rho"] = tomlkit.value(decimal_text(rho))
    return tomlkit.dumps(document)


def _array(weights: Mapping[Clique, Decimal]) -> Array:
    entries = tomlkit.array().multiline(multiline=True)
    for clique, weight in weights.items():
        entry = tomlkit.inline_table()
        entry.add("clique", list(clique))
        entry.add("weight", tomlkit.value(decimal_text(weight)))
        entries.append(entry)
    return entries
