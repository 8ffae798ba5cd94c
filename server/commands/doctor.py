"""`concause coordinator doctor`: everything that may keep a coordinator from working."""

from time import time

import typer
from rich.table import Table

from protocol.checkup import Finding, Health, worst
from protocol.errors import UsageError
from server.commands.membership import DEFAULT_CONFIG, ConfigPath
from server.commands.output import JsonFlag, show
from server.membership.checkup import coordinator_findings
from server.rounds.coordinator_config import load_coordinator_config

_SIGNS = {Health.GOOD: "ok", Health.WARNING: "WARNING", Health.ERROR: "ERROR"}


def doctor(config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False) -> None:
    """Check key, roster, certificates, disk and Flower.

    Ends with exit code 0 if all is well, 1 with warnings, 2 with errors.
    """
    try:
        found = coordinator_findings(load_coordinator_config(config), now=int(time()))
    except UsageError as error:
        found = [Finding("settings", Health.ERROR, error.cause, "Nothing works.", error.remedy)]
    health = worst(found)
    table = Table("", "check", "found", "consequence", "how to fix")
    for one in found:
        table.add_row(_SIGNS[one.health], one.check, one.found, one.consequence, one.remedy)
    findings = [one.to_json() for one in found]
    show({"health": health.name.lower(), "findings": findings}, table, as_json=as_json)
    if health:
        raise typer.Exit(int(health))
