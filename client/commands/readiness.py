"""`concause site check`: how this site's records fit a study, for the eyes of the site alone."""

from datetime import UTC, datetime
from typing import Annotated

import tomlkit
import typer
from rich.table import Table

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    HtmlPath,
    JsonFlag,
    StudyPath,
    facts,
    read_study,
    show,
    write_page,
)
from client.gate.site_config import read_site_config
from client.source.readiness import Readiness, RowReadiness, VariableReadiness
from protocol.errors import ExitCode
from protocol.study.study import Study


def check(
    study_file: StudyPath,
    config: ConfigPath = DEFAULT_CONFIG,
    html: HtmlPath = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show how this site's records fit a study. Local: nothing of it leaves the site.

    Ends with exit code 2 if a measurement would not run or would count no row.
    """
    from client.gate.opening import open_source  # noqa: PLC0415 - the engine is slow to load

    study = read_study(study_file)
    with open_source(read_site_config(config))(study) as records:
        readiness = records.readiness()
    late = [f"The study has expired, on {study.expires}."] if _has_expired(study) else []
    hints = "\n".join(f"- {hint}" for hint in (*late, *readiness.hints)) or "Nothing to mend."
    tables = (_rows_table(readiness), _variables_table(readiness))
    if html is not None:
        write_page(html, *tables, hints)
    show(readiness.to_json(), *tables, hints, as_json=as_json)
    if not readiness.ready:
        raise typer.Exit(ExitCode.USAGE)


def _has_expired(study: Study) -> bool:
    return datetime.now(UTC).date() > study.expires


def map_columns(
    study_file: StudyPath,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    suggest: Annotated[  # noqa: ARG001 -- the one thing that it does, said or not
        bool, typer.Option("--suggest", help="Propose a mapping; it is printed, not written.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Propose how this site's columns become a study's variables. Local: nothing leaves.

    From names, types and spellings of some records. Read it before you copy it into site.toml: a
    likely name is not a meaning.
    """
    from client.gate.opening import open_source  # noqa: PLC0415 - the engine is slow to load

    opened = open_source(read_site_config(config), every_column=True)
    with opened(read_study(study_file)) as records:
        found = records.suggestion()
    document = {"mapping": {**found.mapping}, "open": list(found.open)}
    text = tomlkit.dumps({"mapping": {**found.mapping}}) if found.mapping else ""
    left = f"# No likely column for: {', '.join(found.open)}" if found.open else ""
    shown = "\n".join(filter(None, [text, left])) or "# All is as in the study."
    show(document, shown, as_json=as_json)


def _rows_table(readiness: Readiness) -> Table:
    rows = readiness.rows
    shown = {
        "rows": rows.rows,
        "left out: a variable has no code": rows.left_out,
        "left out: no unit": rows.without_unit,
        "left out: above the bound per unit": rows.over_bound,
        "rows that count": rows.counted,
        "units": rows.units,
        "units with rows above the bound": rows.units_over_bound,
    }
    if rows.without_visit is not None:
        shown |= {
            "left out: no visit of the study": rows.without_visit,
            "rows at the first visit": rows.first_visits,
            "pairs of successive visits": rows.transitions,
        }
    texts = {name: "-" if count is None else f"{count:,}" for name, count in shown.items()}
    return facts("Records (local: not for others)", texts)


def _variables_table(readiness: Readiness) -> Table:
    table = Table("variable", "column", "type", title="Variables", title_justify="left")
    for heading in ("missing", "unknown rows", "clamped", "left out"):
        table.add_column(heading, justify="right")
    for found in readiness.variables:
        table.add_row(
            found.variable,
            found.column,
            "no such column" if found.type is None else found.type,
            *_figures(found, readiness.rows),
        )
    return table


def _figures(found: VariableReadiness, rows: RowReadiness) -> tuple[str, str, str, str]:
    """Return what was counted of a variable; dashes where nothing could be."""
    countable = found.column != "" or rows.counted is not None
    if found.type is None or not found.readable or not countable:
        return ("-",) * 4
    return (
        f"{found.missing_share:.1%}",
        f"{found.unknown:,}",
        f"{found.clamped_share:.1%}",
        f"{found.left_out:,}",
    )
