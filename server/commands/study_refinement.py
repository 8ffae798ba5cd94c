"""`concause study refine`: bins at the quantiles of an earlier release, for a study of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from protocol.study.document import parse_study
from protocol.study.quantities import decimal_text
from protocol.study.study import Study
from server.commands.output import JsonFlag, read_text, show, shown, write_text
from server.commands.refined_study import check_refinable, quantiles_asked, with_edges

if TYPE_CHECKING:
    from server.causal.synthetic.quantile_edges import QuantileEdges


def refine(
    study_file: Annotated[Path, typer.Argument(help="The study, a TOML file.", show_default=False)],
    prior: Annotated[Path, typer.Option(help="A release of the study, or its model.json.")],
    quantiles: Annotated[
        list[str],
        typer.Option(help="VARIABLE:BINS, such as age:8. May be repeated.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the study; without it, nothing is written.")
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Put the edges of numbers where an earlier release has its quantiles: equally full bins.

    Makes a study of its own, with other domains, whose round is not combined with the earlier one.
    The edges follow from what is released already and cost no privacy.
    """
    from server.causal.model import load  # noqa: PLC0415 - pandas is slow to load
    from server.causal.synthetic.quantile_edges import edges_of  # noqa: PLC0415

    text, asked = read_text(study_file, "a study (TOML)"), quantiles_asked(quantiles)
    study, model = parse_study(text), load(prior)
    check_refinable(study, model.study, tuple(asked))
    found = [edges_of(model, name, bins) for name, bins in asked.items()]
    refined_text = with_edges(text, {one.variable: one.edges for one in found})
    refined = parse_study(refined_text)
    if out is not None:
        write_text(out, refined_text)
    show(
        {
            "name": refined.name,
            "study_hash": refined.hash.hex(),
            "variables": [
                {
                    "name": one.variable,
                    "edges": [decimal_text(edge) for edge in one.edges],
                    "merged": one.merged,
                }
                for one in found
            ],
        },
        _table(refined, found),
        *_remarks(study, found),
        f"study hash: {refined.hash.hex()}",
        f"study written to {shown(out)}" if out else "nothing written; add --out FILE",
        as_json=as_json,
    )


def _table(study: Study, found: Sequence["QuantileEdges"]) -> Table:
    table = Table("variable", "bins", "edges", title=f"{study.name}: bins of equal shares")
    for one in found:
        table.add_row(one.variable, str(one.bins), ", ".join(map(decimal_text, one.edges)))
    return table


def _remarks(study: Study, found: Sequence["QuantileEdges"]) -> list[str]:
    remarks = [
        f"{one.variable}: {one.bins} bins instead of {one.bins + one.merged}, because many values "
        "are the same and quantiles coincide"
        for one in found
        if one.merged
    ]
    if study.plan.weights or study.plan.follows:
        remarks.append("the old plan is left out: it was made for the old bins")
    return remarks
