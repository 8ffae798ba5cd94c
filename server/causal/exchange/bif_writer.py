"""Networks as BIF text, which bnlearn, pgmpy and our own reader read back (`bif_reader.py`).

Names and levels that hold blanks or marks are put into double quotes, as the format allows; a
double quote itself has no way to be written. Probabilities have as many digits as they need to be
read back the same.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from server.causal.exchange.network import Network, Table
from server.causal.exchange.refusals import graph_refusal

_BARE = re.compile(r'(?:(?!//|/\*)[^\s{}()\[\],;|"])+')
_KEYWORDS = {"network", "variable", "probability", "property", "type", "table", "default"}


def bif_text(network: Network, name: str = "unknown") -> str:
    """Return the BIF text of a network.

    Raises:
        UsageError: a name or a level holds a double quote or the end of a line.
    """
    lines = [f"network {_written(name)} {{", "}"]
    for node, levels in network.levels.items():
        listed = ", ".join(map(_written, levels))
        lines += [
            f"variable {_written(node)} {{",
            f"  type discrete [ {len(levels)} ] {{ {listed} }};",
            "}",
        ]
    for node in network.levels:
        lines += [_head(node, network.parents[node]), *_entries(network, node), "}"]
    return "\n".join(lines) + "\n"


def _head(node: str, parents: Sequence[str]) -> str:
    given = f" | {', '.join(map(_written, parents))}" if parents else ""
    return f"probability ( {_written(node)}{given} ) {{"


def _entries(network: Network, node: str) -> Iterator[str]:
    table, parents = network.tables[node], network.parents[node]
    if not parents:
        yield f"  table {_numbers(table)};"
        return
    levels = [[_written(level) for level in network.levels[parent]] for parent in parents]
    for codes in np.ndindex(*table.shape[:-1]):
        named = ", ".join(own[code] for own, code in zip(levels, codes, strict=True))
        yield f"  ({named}) {_numbers(table[codes])};"


def _numbers(row: Table) -> str:
    return ", ".join(repr(share) for share in row.tolist())


def _written(word: str) -> str:
    if _BARE.fullmatch(word) and word not in _KEYWORDS:
        return word
    if '"' in word or "\n" in word or not word:
        raise graph_refusal("words without double quotes", word, "Rename it, or write JSON.")
    return f'"{word}"'
