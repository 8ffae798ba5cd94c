"""`concause site omop`: a view over an OMOP database, for its administrator to make."""

from pathlib import Path
from typing import Annotated

import typer

from client.commands.output import JsonFlag, show
from client.gate.settings import read_settings


def omop(
    features: Annotated[Path, typer.Argument(help="What is wanted, a TOML file.")],
    name: Annotated[str, typer.Option(help="The view's name.")] = "research.persons",
    dialect: Annotated[str, typer.Option(help="postgres, mssql, pyspark or duckdb.")] = "postgres",
    *,
    as_json: JsonFlag = False,
) -> None:
    """Print the SQL of a view with one row per person: features in windows around an index date.

    Connects to nothing. The database's administrator looks at it, makes it, and grants SELECT.
    """
    from client.source.omop import OmopFeatures, dialect_of, view_sql  # noqa: PLC0415 - ibis is slow

    wanted = read_settings(features, OmopFeatures)
    sql = view_sql(wanted, name, dialect_of(dialect))
    show({"view": name, "sql": sql}, f"{sql};", as_json=as_json)
