"""Networks from BIF, the Bayesian interchange format, in the dialect of bnlearn and pgmpy.

    network NAME { property ... ; }
    variable NAME { type discrete [ 2 ] { yes, no }; property ... ; }
    probability ( NAME ) { table 0.2, 0.8; }
    probability ( NAME | PARENT, ... ) { (yes, low) 0.2, 0.8; ... default 0.5, 0.5; }

A row names the levels of the parents; `default` stands for rows that are not there; `table` with
parents lists everything, the node's own level slowest and the last parent's fastest (Cozman 1998).
Names and levels may stand in double quotes. Rows are normalised to sum to 1, from which they may
be off by rounding.
"""

from types import MappingProxyType

from protocol.study.problems import nearest
from server.causal.exchange.bif_tables import read_table
from server.causal.exchange.bif_tokens import Tokens
from server.causal.exchange.drawing import MAX_NODES
from server.causal.exchange.network import Network, Table

MAX_LEVELS = 4096


def read_bif(text: str) -> Network:
    """Return the network of a BIF text, nodes in the order of the text.

    Raises:
        UsageError: "bif-invalid", naming the line.
    """
    return _Reader(Tokens(text)).network()


class _Reader:
    """Recursive descent over blocks, which do not nest; variables stand before they are used."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._levels: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._tables: dict[str, Table] = {}

    def network(self) -> Network:
        first = self._tokens.expect("network")
        self._tokens.name("the name of the network")
        self._tokens.expect("{")
        self._properties()
        self._tokens.expect("}")
        while not self._tokens.is_done:
            self._block()
        missing = [name for name in self._levels if name not in self._tables]
        if missing or not self._levels:
            found = f"none of {missing[0]}" if missing else "no variable"
            self._tokens.refuse("probabilities of every variable", found, first.at)
        return Network(
            MappingProxyType(self._levels),
            MappingProxyType({name: self._parents[name] for name in self._levels}),
            MappingProxyType({name: self._tables[name] for name in self._levels}),
        )

    def _block(self) -> None:
        if self._tokens.is_word("variable"):
            self._variable()
        elif self._tokens.is_word("probability"):
            self._probability()
        else:
            found = self._tokens.peek()
            self._tokens.refuse("'variable' or 'probability'", found.text, found.at)

    def _properties(self) -> None:
        while self._tokens.is_word("property"):
            self._tokens.skip_past(";")

    def _variable(self) -> None:
        """Take `variable NAME { type discrete [ 2 ] { yes, no }; }`."""
        self._tokens.expect("variable")
        name = self._tokens.name("the name of a variable")
        if name.text in self._levels:
            self._tokens.refuse("each variable once", f"{name.text} again", name.at)
        if len(self._levels) == MAX_NODES:
            self._tokens.refuse(f"at most {MAX_NODES} variables", "more", name.at)
        self._tokens.expect("{")
        self._properties()
        self._levels[name.text] = self._type()
        self._properties()
        self._tokens.expect("}")

    def _type(self) -> tuple[str, ...]:
        for text in ("type", "discrete", "["):
            self._tokens.expect(text)
        size = self._tokens.name("the number of levels")
        for text in ("]", "{"):
            self._tokens.expect(text)
        levels = self._listed("a level", "}")
        self._tokens.expect(";")
        if size.text != str(len(levels)):
            self._tokens.refuse(f"{len(levels)} levels, as they are listed", size.text, size.at)
        if len(set(levels)) < len(levels) or len(levels) > MAX_LEVELS:
            expected = f"each level once, at most {MAX_LEVELS} of them"
            self._tokens.refuse(expected, ", ".join(levels), size.at)
        return levels

    def _listed(self, what: str, closing: str) -> tuple[str, ...]:
        """Take words with commas between them, up to a mark."""
        found = [self._tokens.name(what).text]
        while self._tokens.is_mark(","):
            self._tokens.take()
            found.append(self._tokens.name(what).text)
        self._tokens.expect(closing)
        return tuple(found)

    def _probability(self) -> None:
        """Take `probability ( NAME | PARENT, .. ) { .. }`."""
        start = self._tokens.expect("probability")
        self._tokens.expect("(")
        node = self._declared()
        if node in self._tables:
            self._tokens.refuse("each node's probabilities once", f"{node} again", start.at)
        parents: list[str] = []
        while self._tokens.is_mark("," if parents else "|"):
            self._tokens.take()
            parents.append(self._declared())
        self._tokens.expect(")")
        if len({*parents, node}) <= len(parents):
            self._tokens.refuse("each variable once", " ".join([node, *parents]), start.at)
        self._tokens.expect("{")
        self._parents[node] = tuple(parents)
        levels = tuple(self._levels[parent] for parent in parents)
        self._tables[node] = read_table(self._tokens, levels, len(self._levels[node]), start)
        self._tokens.expect("}")

    def _declared(self) -> str:
        name = self._tokens.name("the name of a variable")
        if name.text not in self._levels:
            remedy = f"Write {nearest(name.text, self._levels)}, or declare it above."
            self._tokens.refuse("a declared variable", name.text, name.at, remedy)
        return name.text
