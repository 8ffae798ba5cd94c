"""`concause site doctor`: everything that may keep a site from working, and what to do."""

from time import time

import typer
from rich.table import Table

from client.commands.output import DEFAULT_CONFIG, ConfigPath, JsonFlag, show
from client.gate.site_config import read_site_config
from protocol.checkup import Finding, Health, worst
from protocol.errors import UsageError

_SIGNS = {Health.GOOD: "ok", Health.WARNING: "WARNING", Health.ERROR: "ERROR"}


def doctor(config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False) -> None:
    """Check settings, keys, policy, records, memory, certificates and the way to the coordinator.

    Ends with exit code 0 if all is well, 1 with warnings, 2 with errors.
    """
    from client.gate.checkup import site_findings  # noqa: PLC0415 - the engine is slow to load

    now = int(time())
    try:
        found = site_findings(read_site_config(config), now=now)
    except UsageError as error:  # no settings: nothing else can be looked at
        found = [Finding("settings", Health.ERROR, error.cause, "Nothing works.", error.remedy)]
    health = worst(found)
    document = {
        "health": health.name.lower(),
        "findings": [finding.to_json() for finding in found],
    }
    show(document, _table(found), as_json=as_json)
    if health:
        raise typer.Exit(int(health))


def _table(found: list[Finding]) -> Table:
    table = Table("", "check", "found", "consequence", "how to fix")
    for finding in found:
        table.add_row(
            _SIGNS[finding.health],
            finding.check,
            finding.found,
            finding.consequence,
            finding.remedy,
        )
    return table
