"""The words and marks of a BIF text, with their lines.

A word is what stands between blanks and marks: names, numbers, and levels such as `<5`, `12+` or
`Asy/Patch`. What stands in double quotes is one word, whatever it holds. Comments are skipped.
"""

import re
from bisect import bisect_right
from typing import NamedTuple, NoReturn

from protocol.errors import UsageError
from protocol.study.problems import quote

MARKS = "{}()[],;|"

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
    |(?P<mark>[{}()\[\],;|])
    |"(?P<quoted>[^"\n]*)"
    |(?P<word>(?:(?!//|/\*)[^\s{}()\[\],;|"])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_END = "the end of the file"


class Token(NamedTuple):
    """A word or a mark; a quoted word is never a mark or a keyword."""

    kind: str  # "mark", "quoted" or "word"
    text: str
    at: int  # position in the text


class Tokens:
    """The tokens of a BIF text, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [found.start() for found in re.finditer("\n", text)]
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[Token]:
        found, at = [], 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self.refuse("words and marks", text[at : at + 20].partition("\n")[0], at)
            if match.lastgroup is not None:
                found.append(Token(match.lastgroup, match[match.lastgroup], match.start()))
            at = match.end()
        return found

    @property
    def is_done(self) -> bool:
        """Return whether all tokens are taken."""
        return self._next >= len(self._tokens)

    def take(self) -> Token:
        """Return the next token, which is a mark of no text at the end."""
        token = self.peek()
        self._next += 1
        return token

    def peek(self) -> Token:
        """Return the token that `take` would."""
        if self.is_done:
            return Token("mark", "", len(self._text))
        return self._tokens[self._next]

    def is_mark(self, text: str) -> bool:
        """Return whether the next token is this mark."""
        return self.peek()[:2] == ("mark", text)

    def is_word(self, text: str) -> bool:
        """Return whether the next token is this word, without quotes."""
        return self.peek()[:2] == ("word", text)

    def expect(self, text: str) -> Token:
        """Take this mark, or this word without quotes.

        Raises:
            UsageError: something else stands there.
        """
        token = self.take()
        if token.kind == "quoted" or token.text != text:
            self.refuse(repr(text), token.text, token.at)
        return token

    def name(self, what: str) -> Token:
        """Take a word, quoted or not.

        Raises:
            UsageError: a mark stands there.
        """
        token = self.take()
        if token.kind == "mark" or not token.text:
            self.refuse(what, token.text, token.at)
        return token

    def skip_past(self, mark: str) -> None:
        """Take everything up to a mark, and the mark.

        Raises:
            UsageError: it does not come.
        """
        while not self.is_done:
            if self.take()[:2] == ("mark", mark):
                return
        self.refuse(repr(mark), "", len(self._text))

    def refuse(self, expected: str, found: str, at: int, remedy: str = "") -> NoReturn:
        """Refuse what stands at a position.

        Raises:
            UsageError: always, naming the line.
        """
        line = bisect_right(self._lines, at - 1) + 1
        raise UsageError(
            "bif-invalid",
            f"Line {line}: expected {expected}, found {quote(found) if found else _END}.",
            remedy or "Mend the line; see docs/exchange.md.",
        )
