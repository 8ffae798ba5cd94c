"""`concause site status` and `concause site ledger`: what the gate remembers, to look at."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from time import time
from typing import Any

from rich.table import Table

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    JsonFlag,
    cost,
    facts,
    moment,
    show,
)
from client.gate.approvals import ApprovalFolder
from client.gate.consent import Consents
from client.gate.journal import Record
from client.gate.keys import load_key
from client.gate.ledger import Entry, Ledger
from client.gate.memory import open_memory
from client.gate.policy import check_roster, read_policy
from client.gate.site_config import SiteConfig, read_roster, read_site_config
from client.gate.standing import Standing
from protocol.canonical import fraction_text, parse_fraction
from protocol.errors import ConcauseError
from protocol.identifiers import Digest
from protocol.signing import public_key


def status(config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False) -> None:
    """Show this site's key, roster, approvals, rounds, and the budget that is left.

    What is not yet as it should be is said, with what to do about it; the exit code is 0.
    """
    site, now = read_site_config(config), int(time())
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        document = {
            "site": site.site.name,
            "public_key": _said(lambda: public_key(load_key(site.site.signing_key)).hex()),
            "roster": _said(lambda: _roster(site)),
            "budget": _said(lambda: _budget(site, memory.ledger, now)),
            "paused": memory.standing.paused,
            "approvals": _approvals(site, memory.standing, now),
            "rounds": [_round(record) for record in memory.journal.records()],
        }
    tables = _site_table(document), _approvals_table(document), _rounds_table(document)
    show(document, *tables, as_json=as_json)


def ledger(config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False) -> None:
    """Show every promise, charge and refusal of this site's gate, oldest first."""
    site = read_site_config(config)
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        entries = memory.ledger.entries()
    document = {"entries": [_entry(entry) for entry in entries]}
    show(document, _ledger_table(entries) if entries else "No entries yet.", as_json=as_json)


def _said(find: Callable[[], Any]) -> Any:  # noqa: ANN401 - parts of a JSON document
    """Return what `find` does, or what is wrong with it."""
    try:
        return find()
    except ConcauseError as error:
        return {"problem": error.cause, "code": error.code, "remedy": error.remedy}


def _roster(site: SiteConfig) -> dict[str, Any]:
    policy, roster = read_policy(site.site.policy), read_roster(site.site.roster)
    check_roster(policy, roster)
    members = [member.name for member in roster.sites]
    return {"name": roster.name, "hash": roster.hash.hex(), "sites": members}


def _budget(site: SiteConfig, ledger: Ledger, now: int) -> dict[str, str]:
    caps, balance = read_policy(site.site.policy).caps, ledger.balance(now=now)
    shown = {
        "lifetime": caps.lifetime,
        "charged": balance.charged,
        "reserved": balance.reserved,
        "remaining": balance.remaining(caps.lifetime),
    }
    if caps.year is not None:
        shown |= {
            "year": caps.year,
            "year_left": ledger.balance_of_year(now=now).remaining(caps.year),
        }
    return {name: fraction_text(rho) for name, rho in shown.items()}


def _approvals(site: SiteConfig, standing: Standing, now: int) -> list[dict[str, Any]]:
    consents = Consents(site, standing)
    return [
        {"study": study.hex(), "standing": _said(partial(_standing, consents, study, now))}
        for study in ApprovalFolder(site.site.folder).approved()
    ]


def _standing(consents: Consents, study: Digest, now: int) -> dict[str, Any]:
    examined, approval = consents.approved(study, now=now)
    terms = approval.terms
    return {
        "title": examined.study.title,
        "by": [each.name for each in approval.endorsements] or ["envelope"],
        "rho_cap": fraction_text(terms.rho_cap),
        "expires": terms.expires,
    }


def _round(record: Record) -> dict[str, Any]:
    return {
        "session": record.session.hex(),
        "counter": record.counter,
        "study": record.study.hex(),
        "step": record.step.value,
        "abandoned": record.abandoned,
        "began": record.began,
        "changed": record.changed,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "kind": entry.kind.value,
        "at": entry.at,
        "session": entry.session.hex() if entry.session else None,
        "study": entry.study.hex() if entry.study else None,
        "rho": fraction_text(entry.rho) if entry.rho is not None else None,
        "code": entry.code,
        "id": entry.incident,
    }


def _ledger_table(entries: tuple[Entry, ...]) -> Table:
    table = Table("no.", "time (UTC)", "entry", "rho", "code", "study", "round", "id")
    table.columns[4].overflow = "fold"
    for entry in entries:
        table.add_row(*_ledger_row(entry))
    return table


def _ledger_row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.number),
        moment(entry.at),
        entry.kind.value,
        "" if entry.rho is None else cost(entry.rho),
        entry.code or "",
        entry.study.hex()[:8] if entry.study else "",
        entry.session.hex()[:8] if entry.session else "",
        entry.incident or "",
    )


def _site_table(document: dict[str, Any]) -> Table:
    return facts(
        f"Site {document['site']}",
        {
            "state": "PAUSED: answers nothing" if document["paused"] else "not paused",
            "public key": _words(document["public_key"], str),
            "roster": _words(
                document["roster"],
                lambda found: f"{found['name']}: {', '.join(found['sites'])}\n{found['hash']}",
            ),
            "budget (rho)": _words(
                document["budget"],
                lambda found: ", ".join(
                    f"{name} {cost(parse_fraction(rho))}" for name, rho in found.items()
                ),
            ),
        },
    )


def _approvals_table(document: dict[str, Any]) -> Table | str:
    if not document["approvals"]:
        return "No study is approved."
    table = Table("study", "standing", title="Approvals", title_justify="left")
    for approval in document["approvals"]:
        standing = _words(
            approval["standing"],
            lambda found: (
                f"{found['title']}: signed by {', '.join(found['by'])} until "
                f"{moment(found['expires'])} UTC"
            ),
        )
        table.add_row(approval["study"][:12], standing)
    return table


def _rounds_table(document: dict[str, Any]) -> Table | str:
    if not document["rounds"]:
        return "The site has taken part in no round."
    table = Table("round", "counter", "study", "came to", "last (UTC)")
    table.title, table.title_justify = "Rounds", "left"
    for found in document["rounds"]:
        shown = found["session"][:12], str(found["counter"]), found["study"][:12]
        lost = " (lost)" if found["abandoned"] is not None else ""
        table.add_row(*shown, found["step"] + lost, moment(found["changed"]))
    return table


def _words(found: Any, render: Callable[[Any], str]) -> str:  # noqa: ANN401
    if isinstance(found, dict) and "problem" in found:
        return f"Not yet. {found['problem']} {found['remedy']}"
    return render(found)
