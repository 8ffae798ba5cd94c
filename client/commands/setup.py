"""`concause site init`: a folder, keys and settings for a new site."""

import os
from pathlib import Path
from typing import Annotated

import typer

from client.commands.output import JsonFlag, show
from client.commands.templates import SiteChoices, policy_toml, site_toml
from client.gate.keys import SECRET_BYTES, create_key, write_private
from client.gate.private import make_private
from client.gate.settings import parse_settings
from client.gate.site_config import SiteConfig
from protocol.errors import UsageError
from protocol.identifiers import PublicKey
from protocol.secagg.roster import check_name
from protocol.signing import public_key

KEYS = ("site.key", "bound.key", "executor.secret")
SUPERLINK = "127.0.0.1:8000"
RECORDS = "records.parquet"


def init(  # noqa: PLR0913 - one option per setting
    name: Annotated[str, typer.Argument(help="The site's name in the roster: a-z, 0-9, hyphens.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to put everything; by default ./NAME.")
    ] = None,
    superlink: Annotated[str, typer.Option(help="HOST:PORT of the coordinator.")] = SUPERLINK,
    runtime_port: Annotated[int, typer.Option(help="Where gate and SuperNode meet.")] = 9094,
    data: Annotated[
        str, typer.Option(help="The records: a file or a pattern; relative to the site's folder.")
    ] = RECORDS,
    unit_column: Annotated[
        str | None, typer.Option(help="The column that names the person of a row.")
    ] = None,
    *,
    one_row_per_unit: Annotated[
        bool, typer.Option("--one-row-per-unit", help="Your word that no person has two rows.")
    ] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS: on loopback only.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a new site: folder, keys, site.toml and policy.toml. Overwrites nothing.

    Prints the public key that the consortium's roster needs. The new policy allows nothing.
    """
    check_name(name)
    choices = SiteChoices(
        name, superlink, runtime_port, data, unit_column, one_row_per_unit, insecure
    )
    home = (folder or Path(name)).absolute()
    settings = site_toml(choices)
    parse_settings(settings, home / "site.toml", SiteConfig, folder=home)
    _refuse_to_overwrite(home)
    site = _make(home, settings).hex()
    document = {"name": name, "folder": str(home), "public_key": site}
    lines = f"""Site {name} is made in {home}.

Its public key, for whoever asks on the telephone: {site}
Next: concause site request --config {home / "site.toml"}, to join a consortium.

Then fill in policy.toml, which allows nothing yet, and [data] in site.toml; and name the people
who may approve, each with a key of their own:
concause site person "..." --role steward --key ... --config {home / "site.toml"}
concause site person "..." --role privacy-officer --key ... --config {home / "site.toml"}"""
    show(document, lines, as_json=as_json)


def _refuse_to_overwrite(home: Path) -> None:
    files = [home / "site.toml", home / "policy.toml", *(home / "keys" / key for key in KEYS)]
    if found := [file for file in files if file.exists()]:
        raise UsageError(
            "site-exists",
            f"Expected no site in {home}, found {found[0].name}.",
            "Choose another --folder, or go on with the site that is there.",
        )


def _make(home: Path, settings: str) -> PublicKey:
    """Write all files; return the site's public key."""
    keys = home / "keys"
    for folder in (home, keys, home / "memory"):
        make_private(folder)
    home.chmod(0o700)  # it may have been there, open to others
    site = public_key(create_key(keys / KEYS[0]))
    for file in KEYS[1:]:
        write_private(keys / file, os.urandom(SECRET_BYTES))
    (home / "site.toml").write_text(settings, encoding="utf-8")
    (home / "policy.toml").write_text(policy_toml(), encoding="utf-8")
    return site
