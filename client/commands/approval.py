"""`concause site check` and `concause site approve`: what the data steward looks at and signs."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from time import time
from typing import Annotated

import typer
from rich.table import Table

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    JsonFlag,
    StudyPath,
    cost,
    facts,
    moment,
    read_study,
    say,
    show,
)
from client.gate.approvals import ApprovalFolder, sign_approval
from client.gate.keys import load_key
from client.gate.memory import open_memory
from client.gate.proposal import Proposal, Proposals, Wishes
from client.gate.site_config import SiteConfig, read_site_config
from client.source.readiness import Readiness, RowReadiness, VariableReadiness
from protocol.errors import ExitCode, PolicyError, UsageError
from protocol.signing import public_key


def check(
    study_file: StudyPath, config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False
) -> None:
    """Show how this site's records fit a study. Local: nothing of it leaves the site.

    Ends with exit code 2 if a measurement would not run or would count no row.
    """
    from client.gate.opening import open_source  # noqa: PLC0415 - the engine is slow to load

    with open_source(read_site_config(config))(read_study(study_file)) as records:
        readiness = records.readiness()
    hints = "\n".join(f"- {hint}" for hint in readiness.hints) or "Nothing to mend."
    tables = (_rows_table(readiness), _variables_table(readiness))
    show(readiness.to_json(), *tables, hints, as_json=as_json)
    if not readiness.ready:
        raise typer.Exit(ExitCode.USAGE)


def approve(  # noqa: PLR0913 - one option per term of the approval
    study_file: StudyPath,
    config: ConfigPath = DEFAULT_CONFIG,
    rho_cap: Annotated[
        str | None,
        typer.Option(help="The most rho that all rounds may spend; by default one round's cost."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The approval's last day; by default the study's."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The data steward's key; by default the one in site.toml.")
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Approve a study: shows who asks, what would leave and at what cost; then signs.

    The approval holds for this study, its plan, the roster, the mapping and the records as
    they are now. Any change voids it.
    """
    site = read_site_config(config)
    steward = load_key(_key_path(site, key))
    wishes = Wishes(_fraction(rho_cap), _end_of(expires))
    proposal = _propose(site, study_file, wishes)
    _check_approver(proposal, public_key(steward).hex())
    summary = _summary(proposal)
    if not as_json:
        say(facts(f"{proposal.examined.study.title}: to approve", summary))
    _ask(yes=yes, as_json=as_json)
    approval = sign_approval(proposal.terms, steward)
    path = ApprovalFolder(site.site.folder).write(proposal.examined.study, approval)
    document = {"study": proposal.terms.study.hex(), "approval": str(path), **_keyed(summary)}
    show(document, f"Approved: {path}", as_json=as_json)


def _keyed(summary: dict[str, str]) -> dict[str, str]:
    """Return the summary under names that a program would choose."""
    return {name.replace("'", "").replace(" ", "_"): text for name, text in summary.items()}


def _propose(site: SiteConfig, study_file: Path, wishes: Wishes) -> Proposal:
    from client.gate.opening import open_source  # noqa: PLC0415 - the engine is slow to load

    study = read_study(study_file)
    memory = open_memory(site.site.folder)
    try:
        proposals = Proposals(site, open_source(site), memory.ledger)
        return proposals.propose(study, wishes, now=int(time()))
    finally:
        memory.close()


def _key_path(site: SiteConfig, key: Path | None) -> Path:
    path = key or site.site.approver_key
    if path is None:
        raise UsageError(
            "approver-key-unset",
            "Expected the data steward's key, found none in site.toml.",
            "Give it with --key.",
        )
    return path


def _check_approver(proposal: Proposal, approver: str) -> None:
    if approver not in proposal.examined.policy.approvers:
        raise PolicyError(
            "approver-unknown",
            f"The site's policy does not name {approver} among its approvers.",
            "Approve with the data steward's key, or have this one added in policy.toml.",
        )


def _ask(*, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise UsageError(
            "confirmation-needed", "Expected --yes beside --json.", "Look first, without --json."
        )
    typer.confirm("Approve?", abort=True)


def _fraction(text: str | None) -> Fraction | None:
    try:
        return None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            "not-a-number", f"Expected a number for --rho-cap, found {text!r}.", "Write 0.05."
        ) from error


def _end_of(day: datetime | None) -> int | None:
    if day is None:
        return None
    return int((day.replace(tzinfo=UTC) + timedelta(days=1, seconds=-1)).timestamp())


def _summary(proposal: Proposal) -> dict[str, str]:
    examined, terms = proposal.examined, proposal.terms
    study, plan, cohort = examined.study, examined.plan, examined.study.cohort
    after = cost(proposal.left_after) if proposal.left_after >= 0 else "NOT ENOUGH for one round"
    return {
        "who asks": study.author,
        "questions": "\n".join(question.label or question.name for question in study.questions),
        "records used": ", ".join(study.variables),
        "what leaves": f"{plan.length:,} integers: sums with noise, masked; no record",
        "cohort": f"sums of at least {cohort.n_min} of {len(examined.roster.sites)} sites in "
        f"roster {examined.roster.name}; {cohort.tolerated_colluders} may collude",
        "cost of a round": f"rho {cost(plan.rho)} (epsilon {plan.epsilon:.4g} at delta "
        f"{float(plan.delta):g}) per {study.unit.name}",
        "most it may spend": f"rho {cost(terms.rho_cap)}",
        "budget left now": f"rho {cost(proposal.left_before)}",
        "after one round": f"rho {after}",
        "approval expires": f"{moment(terms.expires)} UTC",
        "study hash": terms.study.hex(),
        "plan hash": terms.plan.hex(),
        "records' state": terms.snapshot.hex(),
    }


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
