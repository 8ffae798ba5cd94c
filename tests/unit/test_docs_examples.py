"""Examples in the documentation: every block of TOML is read by the code that it is meant for.

A block with `format` is a whole study; one of other tables of a study gets a head, and a graph
without arrows if it has none; one of [data] or [mapping] is a part of a site's settings. A comment
`<!-- refused: TEXT -->` before a block says that it is wrong, and what the refusal holds. What
stands `in=` a file of a walk is read there.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from client.source.site_table import Mapping, SiteData, check_mapping
from protocol.errors import UsageError
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from protocol.study.mechanisms import MECHANISM_KINDS
from protocol.study.sections import Measure
from protocol.study.study import Study

ROOT = Path(__file__).parents[2]
MECHANISMS = ROOT / "docs" / "mechanisms"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

HEAD = {
    "format": '"concause-study/1"',
    "name": '"example"',
    "title": '"An example"',
    "author": '"The concause authors"',
    "expires": "2030-12-31",
    "trust": '{ aggregation = "masking" }',
    "budget": "{ epsilon = 3.0, delta = 1e-6 }",
    "cohort": "{ n_min = 3, tolerated_colluders = 1, threshold = 3 }",
    "graph": "{ edges = [] }",
}

_BLOCK = re.compile(r"(?:<!-- refused: (.+?) -->\n)?```toml\n(.*?)\n```", re.DOTALL)
_CAUTION = re.compile(r'Caution\([\w.]+, "([a-z-]+)"')


@dataclass(frozen=True, slots=True)
class Example:
    """A block of TOML in a page."""

    page: Path
    line: int
    text: str
    refused: str | None  # what the refusal holds; None if the block is right

    @property
    def tables(self) -> frozenset[str]:
        """Return the names of its tables, and of fields before the first."""
        return frozenset(tomllib.loads(self.text))

    @property
    def is_of_site(self) -> bool:
        """Return whether it is a part of a site's settings."""
        return self.tables <= {"data", "mapping"}

    @property
    def study_text(self) -> str:
        """Return it as a whole study."""
        if "format" in self.tables:
            return self.text
        head = [f"{name} = {value}" for name, value in HEAD.items() if name not in self.tables]
        return "\n".join([*head, self.text])

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _examples(page: Path) -> list[Example]:
    text = page.read_text()
    return [
        Example(page, text.count("\n", 0, found.start(2)) + 1, found[2], found[1])
        for found in _BLOCK.finditer(text)
    ]


EXAMPLES = [example for page in PAGES for example in _examples(page)]
RIGHT = [one for one in EXAMPLES if one.refused is None and not one.is_of_site]
REFUSED = [one for one in EXAMPLES if one.refused is not None]
OF_SITES = [one for one in EXAMPLES if one.is_of_site]


def _studies(page: Path) -> list[Study]:
    return [parse_study(one.study_text) for one in RIGHT if one.page == page]


def test_every_block_of_toml_is_an_example() -> None:
    fences = sum(page.read_text().count("```toml\n") for page in PAGES)
    assert len(EXAMPLES) == fences
    assert RIGHT
    assert REFUSED
    assert OF_SITES


@pytest.mark.parametrize("example", RIGHT, ids=str)
def test_an_example_of_a_study_parses_and_compiles(example: Example) -> None:
    study = parse_study(example.study_text)
    assert compile_plan(study).length > 0


@pytest.mark.parametrize("example", REFUSED, ids=str)
def test_an_example_of_what_is_refused_is_refused_as_the_page_says(example: Example) -> None:
    with pytest.raises(UsageError) as refusal:
        compile_plan(parse_study(example.study_text))
    assert example.refused is not None
    assert example.refused in str(refusal.value)


@pytest.mark.parametrize("example", OF_SITES, ids=str)
def test_an_example_of_a_sites_settings_fits_a_study_of_its_page(example: Example) -> None:
    tables = tomllib.loads(example.text)
    data = tables.get("data", {})
    SiteData.model_validate(data if "database" in data else {"path": "records.parquet"} | data)
    mapping = Mapping.model_validate(tables.get("mapping", {}))
    studies = [study for study in _studies(example.page) if set(mapping.root) <= {*study.variables}]
    assert studies or example.page.name == "README.md"  # which has no study of its own
    for study in studies:
        check_mapping(mapping, study)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[variables.a]\nkind = "bolean"', "study-invalid"),
        ('[variables.a]\nkind = "boolean"\n[graph]\nedges = ["b -> a"]', "study-invalid"),
        ('[variables]\na = { kind = "boolean" }\n[mechanisms]\na = "gaussian"', "study-invalid"),
        ('[variables.a]\nkind = "boolean"\n[budget]\nrho = 90', "noise-scale-too-small"),
        ('format = "concause-study/1"\n[variables.a]\nkind = "boolean"', "study-invalid"),
    ],
)
def test_a_wrong_example_would_be_seen(text: str, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        compile_plan(parse_study(Example(ROOT, 1, text, None).study_text))
    assert refusal.value.code == code


def test_the_index_names_every_page_and_every_kind_of_mechanism() -> None:
    index = (MECHANISMS / "README.md").read_text()
    pages = {page.name for page in MECHANISMS.glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()
    assert {kind for kind in MECHANISM_KINDS if f"`{kind}`" not in index} == set()


def test_links_of_the_pages_lead_to_files() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    ]
    assert [(page, target) for page, target in links if not (page.parent / target).exists()] == []


def test_the_pages_explain_every_caution_and_every_measure() -> None:
    pages = "\n".join(page.read_text() for page in MECHANISMS.glob("*.md"))
    cautions = _CAUTION.findall((ROOT / "server" / "estimation" / "cautions.py").read_text())
    assert len(cautions) > 5
    words = {*cautions, *get_args(Measure)}
    assert {word for word in words if f"`{word}`" not in pages} == set()


def test_the_tests_that_a_page_names_are_there() -> None:
    """A table of attacks is worth what its tests are worth."""
    page = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = (ROOT / "tests").rglob("test_*.py")
    defined = {name for path in sources for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) > 30
    assert named <= defined
