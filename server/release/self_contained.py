"""Checks that an HTML page loads nothing, runs nothing and sends nothing: by what is allowed.

The page must also carry the content security policy below, which tells the browser the same.
"""

import re
from html.parser import HTMLParser

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_TAGS = (
    "html head meta title style body header main section footer div p h1 h2 h3 ul li dl dt dd "
    "table thead tbody tr th td pre code strong span small sup figure figcaption details summary "
    "svg g path rect line circle text desc marker"
)
_ATTRIBUTES = (
    "lang charset name content http-equiv class id role scope aria-label aria-hidden "
    "aria-labelledby style viewbox d x y x1 x2 y1 y2 cx cy r rx width height refx refy "
    "markerwidth markerheight markerunits orient marker-end"
)
_METAS = frozenset({"viewport", "color-scheme"})
_STYLE_LOADS = re.compile(r"@import|expression\(|image-set|url\(\s*(?!#)|\\", re.IGNORECASE)


def breaches(document: str) -> tuple[str, ...]:
    """Return what in the page goes beyond what is allowed, each as 'line: what'; empty if none.

    Words between tags are not markup: a study with a script in its title is harmless here.
    """
    scanner = _Scanner()
    scanner.feed(document)
    scanner.close()
    if not scanner.policy:
        scanner.found.append("1: the content security policy is missing")
    return tuple(scanner.found)


class _Scanner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.policy = False
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        if tag not in _TAGS.split():
            self._add(f"element <{tag}>")
        if tag == "meta":
            self._check_meta(dict(attrs))
        for name, value in attrs:
            if name not in _ATTRIBUTES.split():
                self._add(f"attribute {name} on <{tag}>")
            elif name in {"style", "marker-end"} and _STYLE_LOADS.search(value or ""):
                self._add(f"a reference in {name} on <{tag}>")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style and _STYLE_LOADS.search(data):
            self._add("a reference in a style sheet")

    def handle_pi(self, data: str) -> None:
        self._add(f"a processing instruction ({data[:20]!r})")

    def _check_meta(self, attributes: dict[str, str | None]) -> None:
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = self.policy or attributes.get("content") == POLICY
        elif "http-equiv" in attributes:
            self._add("a meta element that acts")
        elif "charset" not in attributes and attributes.get("name") not in _METAS:
            self._add("a meta element of unknown name")

    def _add(self, what: str) -> None:
        self.found.append(f"{self.getpos()[0]}: {what}")
