"""`concause release check-graph` and `invariance`: assumptions against what rounds released."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from server.commands.output import JsonFlag, show

Folder = Annotated[Path, typer.Argument(help="The release folder.", show_default=False)]
Folders = Annotated[
    list[Path], typer.Argument(help="Releases of groups of sites, two or more.", show_default=False)
]


def check_graph(folder: Folder, *, as_json: JsonFlag = False) -> None:
    """Test the independences that the graph implies, at no further budget."""
    from server.evaluation.graph_check import check_graph as check  # noqa: PLC0415 - slow to load
    from server.release.reading import read_basis  # noqa: PLC0415

    basis = read_basis(folder)
    found = check(basis.study, basis.evidence)
    implied = Table("implied by the graph", "p", "adjusted", "strength", "verdict")
    for one in found.implied:
        strength = f"{one.strength:.2f} (finds {one.detectable:.2f})"
        implied.add_row(one.text, f"{one.p:.3f}", f"{one.adjusted:.3f}", strength, one.verdict)
    arrows = Table("arrow", "p", "strength", "trace")
    for arrow in found.arrows:
        strength = f"{arrow.strength:.2f} (finds {arrow.detectable:.2f})"
        arrows.add_row(f"{arrow.cause} -> {arrow.effect}", f"{arrow.p:.3f}", strength, arrow.trace)
    show(found.to_json(), implied, arrows, found.text, as_json=as_json)


def invariance(folders: Folders, *, as_json: JsonFlag = False) -> None:
    """Test which mechanisms are the same in groups of at least two sites each."""
    from server.evaluation.invariance import Group, check_invariance  # noqa: PLC0415 - slow to load
    from server.release.reading import read_basis  # noqa: PLC0415

    groups = []
    for folder in folders:
        basis = read_basis(folder)
        keys = frozenset(bytes(site.key) for site in basis.members)
        groups.append(Group(str(folder), basis.study, keys, basis.noisy))
    found = check_invariance(groups)
    table = Table("mechanism of", "p", "adjusted", "strength", "verdict")
    for one in found.mechanisms:
        strength = f"{one.strength:.2f} (finds {one.detectable:.2f})"
        table.add_row(one.node, f"{one.p:.3f}", f"{one.adjusted:.3f}", strength, one.verdict)
    show(found.to_json(), table, found.text, as_json=as_json)
