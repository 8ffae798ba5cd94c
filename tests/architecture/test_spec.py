"""What SPEC.md shows is what the code does, where it can be compared."""

import re
from pathlib import Path

import pytest

from protocol.errors import ConcauseError
from protocol.secagg import coordinator, site, split_coordinator, split_site
from protocol.secagg.turns import render_mermaid

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
SOURCES = [
    path for name in ("protocol", "client", "server") for path in (ROOT / name).rglob("*.py")
]


MACHINES = [site, coordinator, split_site, split_coordinator]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_the_diagram_of_a_machine_is_drawn_from_its_table(machine: object) -> None:
    assert render_mermaid(machine.LEGAL).strip() in SPEC  # type: ignore[attr-defined]


def test_every_clause_that_the_code_cites_exists() -> None:
    clauses = set(re.findall(r"^#+ (\d+(?:\.\d+)?)", SPEC, re.MULTILINE))
    clauses |= set(re.findall(r"^(?:\| )?(\d+\.\d+(?:\.\d+)?) ", SPEC, re.MULTILINE))
    cited = {
        clause.rstrip(".")
        for path in SOURCES
        for clause in re.findall(r"SPEC (\d+(?:\.\d+)*)", path.read_text(encoding="utf-8"))
    }
    assert cited
    assert cited <= clauses


def test_every_category_of_error_has_its_exit_code_in_the_table() -> None:
    kinds: list[type[ConcauseError]] = [ConcauseError, *ConcauseError.__subclasses__()]
    for kind in kinds:
        assert re.search(
            rf"^\| {kind.category} \|.*\| {int(kind.exit_code)} \|$", SPEC, re.MULTILINE
        )
