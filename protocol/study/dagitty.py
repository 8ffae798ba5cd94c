"""Causal arrows from text: single edges `a -> b` and graphs in dagitty's notation.

Of dagitty (Textor et al. 2016) we read nodes, chains of `->`, `<-` and `<->`, groups in braces and
quoted names. `a <-> b` says that something unmeasured causes both, and `u [latent]` that nobody
measures u; other attributes in brackets are skipped, since the study says itself what is asked.
`--` stands for an unknown direction, which is not supported.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from protocol.study.graph import Edge
from protocol.study.problems import Problem, StudyProblems, quote

MAX_EDGES = 100_000  # braces multiply: a short text can draw very many

_TOKEN = re.compile(
    r"""\s+|//[^\n]*
    |(?P<latent>\[\s*latent\b[^\]]*\]|\[[^\]]*,\s*latent\b[^\]]*\])
    |(?P<attribute>\[[^\]]*\]|[A-Za-z]+\s*=\s*"[^"]*")
    |(?P<arrow><->|->|<-|--|@->|@-@|@--)
    |(?P<mark>[{};,])
    |"(?P<quoted>[^"]*)"
    |(?P<name>[A-Za-z0-9_.]+)
    """,
    re.VERBOSE,
)
_DIRECTION = "the direction, or 'a <-> b' where something unmeasured causes both"


class Drawing(NamedTuple):
    """What a text draws, in order of appearance: arrows, every node named, `a <-> b`, latents."""

    edges: tuple[Edge, ...]
    nodes: tuple[str, ...]
    pairs: tuple[Edge, ...] = ()
    latent: tuple[str, ...] = ()


def parse_link(text: str) -> Drawing:
    """Return what 'a -> b', 'b <- a' or 'a <-> b' draws.

    Raises:
        StudyProblems: the text is not one arrow between two names.
    """
    drawing = _Parser(text).statements()
    if len(drawing.edges) + len(drawing.pairs) != 1 or drawing.latent:
        raise _refusal("one arrow such as 'a -> b' or 'a <-> b'", text, "one arrow per entry")
    return drawing


def parse_dagitty(text: str) -> Drawing:
    """Return the arrows and nodes of `dag { ... }`.

    Raises:
        StudyProblems: something else than the notation above; the text after it is quoted.
    """
    opening = re.match(r'\s*dag\s*("[^"]*"|[A-Za-z0-9_.]+)?\s*\{', text)
    if opening is None:
        raise _refusal("a graph in dagitty's notation", text, "dag { a -> b }")
    end = text.rstrip()
    if not end.endswith("}"):
        raise _refusal("a closing brace at the end", text[-20:], "dag { a -> b }")
    return _Parser(end[opening.end() : -1]).statements()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "name", "latent", "arrow" or "mark"
    text: str
    at: int


class _Parser:
    """Recursive descent over: statement = group (arrow group)*; group = name | { name* }.

    Groups do not nest, so that no text can exhaust the stack.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._edges: list[Edge] = []
        self._nodes: dict[str, None] = {}
        self._pairs: list[Edge] = []
        self._latent: dict[str, None] = {}

    def statements(self) -> Drawing:
        while self._at < len(self._tokens):
            if self._peek("mark", ";"):
                self._at += 1
            else:
                self._chain()
        return Drawing(
            tuple(self._edges), tuple(self._nodes), tuple(self._pairs), tuple(self._latent)
        )

    def _chain(self) -> None:
        left = self._group()
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "arrow":
            arrow = self._take()
            right = self._group()
            self._join(left, arrow, right)
            left = right

    def _join(self, left: list[str], arrow: _Token, right: list[str]) -> None:
        if arrow.text not in ("->", "<-", "<->"):
            raise _refusal("arrows ->, <- and <->", self._shown(arrow.at), _DIRECTION)
        drawn = len(self._edges) + len(self._pairs)
        if drawn + len(left) * len(right) > MAX_EDGES:
            raise _refusal(f"at most {MAX_EDGES} arrows", self._shown(arrow.at), "fewer arrows")
        joined = [(a, b) for a in left for b in right]
        if arrow.text == "<->":
            self._pairs.extend(joined)
        else:
            self._edges.extend(joined if arrow.text == "->" else [(b, a) for a, b in joined])

    def _group(self) -> list[str]:
        token = self._take()
        if token.kind == "name":
            self._named(token)
            return [token.text]
        if token.text != "{":
            raise _refusal("the name of a variable", self._shown(token.at), "'a -> b'")
        members: list[str] = []
        while (token := self._take()).text != "}" or token.kind != "mark":
            if token.kind == "name":
                self._named(token)
                members.append(token.text)
            elif token.text not in (",", ";"):
                raise _refusal("names inside braces", self._shown(token.at), "'a -> {b c}'")
        return members

    def _named(self, token: _Token) -> None:
        self._nodes[token.text] = None
        if self._at < len(self._tokens) and self._tokens[self._at].kind == "latent":
            self._at += 1
            self._latent[token.text] = None

    def _peek(self, kind: str, text: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.kind == kind and token.text == text

    def _take(self) -> _Token:
        if self._at >= len(self._tokens):
            raise _refusal("the name of a variable", "the end of the graph", "'a -> b'")
        self._at += 1
        return self._tokens[self._at - 1]

    def _shown(self, at: int) -> str:
        return self._text[at : at + 40].strip()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refusal("names, arrows and braces", text[at : at + 40], "'a -> b'")
        kind = match.lastgroup
        if kind is not None and kind != "attribute":
            tokens.append(
                _Token("name" if kind == "quoted" else kind, match.group(kind), match.start())
            )
        at = match.end()
    return tokens


def _refusal(expected: str, found: str, remedy: str) -> StudyProblems:
    return StudyProblems([Problem((), expected, quote(found), remedy)])
