"""`concause site review`, `approve`, `admit` and `envelope`: what people look at, and sign."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from time import time
from typing import Annotated, Any

import typer

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    HtmlPath,
    JsonFlag,
    KeyPath,
    StudyPath,
    cost,
    facts,
    moment,
    needed_key,
    read_study,
    say,
    show,
    write_page,
)
from client.gate.approvals import Approval, ApprovalFolder
from client.gate.decisions import Decisions, Signer, signer_of
from client.gate.envelope import envelope_of, read_wishes
from client.gate.memory import Memory, open_memory
from client.gate.people import APPROVING, check_role
from client.gate.policy import read_policy
from client.gate.proposal import Proposal, Proposals, Wishes
from client.gate.review import review_of
from client.gate.site_config import SiteConfig, read_roster, read_site_config
from protocol.errors import PolicyError, UsageError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class _Desk:
    """A site's settings and memory, open for one command."""

    site: SiteConfig
    memory: Memory

    @property
    def folder(self) -> ApprovalFolder:
        return ApprovalFolder(self.site.site.folder)

    @property
    def decisions(self) -> Decisions:
        return Decisions(self.memory, self.folder)

    def close(self) -> None:
        self.memory.close()

    def propose(self, study_file: Path, wishes: Wishes) -> Proposal:
        from client.gate.opening import open_source  # noqa: PLC0415 - the engine is slow to load

        proposals = Proposals(self.site, open_source(self.site), self.memory)
        return proposals.propose(read_study(study_file), wishes, now=int(time()))


def _desk(config: Path) -> _Desk:
    site = read_site_config(config)
    return _Desk(site, open_memory(site.site.folder, site.site.audit))


def review(
    study_file: StudyPath,
    config: ConfigPath = DEFAULT_CONFIG,
    html: HtmlPath = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Explain a study on one page, in plain words, to those who decide. Signs nothing."""
    with closing(_desk(config)) as desk:
        proposal = desk.propose(study_file, Wishes())
    page = review_of(proposal)
    if html is not None:
        write_page(html, page.text)
    show({"title": page.title, "sections": dict(page.sections)}, page.text, as_json=as_json)


def approve(  # noqa: PLR0913 - one option per term of the approval
    study_file: StudyPath,
    config: ConfigPath = DEFAULT_CONFIG,
    rho_cap: Annotated[
        str | None,
        typer.Option(help="The most rho that all rounds may spend; by default one round more."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The approval's last day; by default the study's."),
    ] = None,
    key: KeyPath = None,
    *,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign a study: shows who asks, what would leave and at what cost; then signs.

    It takes two: the site's data steward and its privacy officer, each with a key of their own,
    neither of them the study's author. Who signs first sets the terms; who signs second signs the
    same, or begins anew with others. The approval holds for this study, its plan, the roster, the
    mapping, the policy and the records as they are now. Any change voids it.
    """
    wishes = Wishes(_fraction(rho_cap), _end_of(expires))
    with closing(_desk(config)) as desk:
        signer = _signer(desk.site, key)
        proposal = desk.propose(study_file, wishes)
        summary = _summary(proposal)
        if not as_json:
            say(facts(f"{proposal.examined.study.title}: to sign", summary))
        _ask(yes=yes, as_json=as_json)
        approval = desk.decisions.sign(proposal, signer, now=int(time()))
    missing = _missing(approval)
    document = {
        "study": proposal.terms.study.hex(),
        "complete": not missing,
        "missing": missing,
        **_keyed(summary),
    }
    waits = f"It still waits for: {', '.join(missing)}." if missing else "The study is approved."
    show(document, f"Signed by {signer.words}. {waits}", as_json=as_json)


def admit(
    study_file: StudyPath, config: ConfigPath = DEFAULT_CONFIG, *, as_json: JsonFlag = False
) -> None:
    """Approve a study by the site's signed envelope, without a further signature.

    Only for a study inside the envelope: its author, its variables, its cost.
    """
    with closing(_desk(config)) as desk:
        envelope = desk.folder.envelope()
        if envelope is None:
            raise PolicyError(
                "envelope-missing",
                "The site has no envelope for studies without further signatures.",
                "Have the study approved by two people, or an envelope signed by them.",
            )
        proposal = desk.propose(study_file, Wishes())
        desk.decisions.admit(proposal, envelope, now=int(time()))
    summary = _summary(proposal)
    document = {"study": proposal.terms.study.hex(), **_keyed(summary)}
    show(
        document,
        facts(f"{proposal.examined.study.title}: admitted", summary),
        "Admitted inside the site's envelope.",
        as_json=as_json,
    )


def envelope(
    wishes_file: Annotated[Path, typer.Argument(help="What to allow, a TOML file.")],
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    *,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign what may be approved without asking again: authors, variables, costs, a last day.

    It takes the same two signatures as a study. The file:

        format = "concause-envelope/1"
        authors = ["A. Author"]
        variables = ["age", "sex"]
        rho_study = 0.01
        rho_total = 0.05
        expires = 2027-06-30
    """
    with closing(_desk(config)) as desk:
        site, signer = desk.site, _signer(desk.site, key)
        policy, roster = read_policy(site.site.policy), read_roster(site.site.roster)
        wanted = envelope_of(
            read_wishes(wishes_file),
            policy=policy.digest,
            mapping=site.mapping_digest,
            roster=roster.hash,
        )
        summary = {
            "authors": ", ".join(wanted.authors),
            "variables": ", ".join(wanted.variables),
            "cost of one study": f"rho {cost(wanted.rho_study)}",
            "cost of all": f"rho {cost(wanted.rho_total)}",
            "expires": f"{moment(wanted.expires)} UTC",
        }
        if not as_json:
            say(facts("An envelope: to sign", summary))
        _ask(yes=yes, as_json=as_json)
        signed = desk.decisions.sign_envelope(
            wanted, desk.folder.envelope(), signer, now=int(time())
        )
        desk.folder.write_envelope(signed)
    roles = {each.role for each in signed.endorsements}
    missing = [role.words for role in APPROVING if role not in roles]
    document = {"envelope": wanted.hash.hex(), "missing": missing, **_keyed(summary)}
    waits = f"It still waits for: {', '.join(missing)}." if missing else "The envelope holds."
    show(document, f"Signed by {signer.words}. {waits}", as_json=as_json)


def _signer(site: SiteConfig, key: Path | None) -> Signer:
    signer = signer_of(read_policy(site.site.policy), needed_key(key))
    check_role(signer.person, *APPROVING)
    return signer


def _missing(approval: Approval) -> list[str]:
    signed = {each.role for each in approval.endorsements}
    return [role.words for role in APPROVING if role not in signed]


def _keyed(summary: dict[str, str]) -> dict[str, Any]:
    """Return the summary under names that a program would choose."""
    return {name.replace("'", "").replace(" ", "_"): text for name, text in summary.items()}


def _ask(*, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise UsageError(
            "confirmation-needed", "Expected --yes beside --json.", "Look first, without --json."
        )
    typer.confirm("Sign?", abort=True)


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
    after = cost(proposal.left_after) if proposal.is_affordable else "NOT ENOUGH for one round"
    return {
        "who asks": study.author,
        "questions": "\n".join(question.label or question.name for question in study.questions),
        "records used": ", ".join(study.variables),
        "what leaves": f"{plan.length:,} integers: sums with noise, masked; no record",
        "cohort": f"sums of at least {cohort.n_min} of {len(examined.roster.sites)} sites in "
        f"roster {examined.roster.name}; {cohort.tolerated_colluders} may collude",
        "cost of a round": f"rho {cost(plan.rho)} (epsilon {plan.epsilon:.4g} at delta "
        f"{float(plan.delta):g}) per {study.unit.name}",
        "most it may spend": f"rho {cost(terms.rho_cap)}, of which {cost(proposal.spent_on_study)} "
        "is spent",
        "budget left now": f"rho {cost(proposal.left_before)}",
        "after one round": f"rho {after}",
        "approval expires": f"{moment(terms.expires)} UTC",
        "signed so far": _signed(proposal),
        "study hash": terms.study.hex(),
        "plan hash": terms.plan.hex(),
        "records' state": terms.snapshot.hex(),
    }


def _signed(proposal: Proposal) -> str:
    return "\n".join(f"{each.name}, {each.role.words}" for each in proposal.approval.endorsements)
