"""`concause round`: issue a round, look on, and publish what it brought."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from protocol.errors import ExitCode, UsageError
from protocol.study.document import parse_study
from server.commands.membership import DEFAULT_CONFIG, ConfigPath
from server.commands.output import JsonFlag, console, read_text, show, shown
from server.release.choice import Choice, verify_choice, write_choice
from server.release.folder import check_free
from server.rounds.clock import SystemClock
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.flower_cli import FlowerCli
from server.rounds.folder import RoundFolder
from server.rounds.issue import issue, prepare_round, read_roster
from server.rounds.papers import FollowedRound
from server.rounds.serving import check_reachable
from server.rounds.signing_key import load_signing_key
from server.rounds.status import RoundStatus

if TYPE_CHECKING:
    from server.release.summary import EarlierSummary, ReleaseSummary

app = typer.Typer(no_args_is_help=True, help="Issue rounds and look at them.")
_EXIT = {"refused": ExitCode.COHORT, "failed": ExitCode.INFRASTRUCTURE}
_STEPS = {
    "connect": "waiting for the sites to connect",
    "advertise": "sites advertise their keys",
    "share": "sites share their secrets",
    "mask": "sites measure, add noise and mask",
    "agree": "sites agree on the cohort",
    "reveal": "sites reveal what opens the sum",
    "split": "sites measure, add noise and split it among the aggregators",
    "open": "the aggregators add up, and open the sum together",
    "complete": "the sum is open",
}


@app.command()
def start(
    study_file: Annotated[
        Path | None, typer.Argument(help="The study, a TOML file.", show_default=False)
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this round folder instead of a new round.")
    ] = None,
    release: Annotated[
        Path | None, typer.Option(help="Where the release goes; by default releases/ROUND.")
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            help="The release of the study that this one follows; both rounds are combined.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Issue a round, wait for the sites, and publish a release.

    Costs every site its budget once more, also if an earlier round of the study failed
    after its vectors were sent.
    """
    settings = load_coordinator_config(config)
    if release is not None:
        check_free(release)  # before any site spends its budget
    folder = _folder(settings, study_file, resume, earlier)
    target = release or settings.coordinator.folder / "releases" / folder.path.name
    status = _run(settings, folder, quiet=as_json)
    if status.outcome != "complete":
        show(status.model_dump(mode="json"), *_status_tables(status, folder.path), as_json=as_json)
        raise typer.Exit(_EXIT[status.outcome])
    papers = folder.read_papers()
    if parse_study(papers.study_text).candidates:
        _show_choice(write_choice(target, papers), folder.path, as_json=as_json)
        return
    with nullcontext() if as_json else console.status("fitting the model, writing the release"):
        summary = _publish(settings, folder, target)
    show(
        {"round": str(folder.path), **summary.to_json()},
        _summary_table(summary, folder.path),
        as_json=as_json,
    )


@app.command(name="status")
def show_status(
    folder: Annotated[
        Path | None, typer.Argument(help="A round folder; by default every round.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show how a round stands, site by site, or list all rounds."""
    if folder is not None:
        status = _status_of(folder)
        show(status.model_dump(mode="json"), *_status_tables(status, folder), as_json=as_json)
        return
    folders = sorted(load_coordinator_config(config).rounds.glob("*/"))
    table = Table("round", "step", "outcome", "updated", "why")
    documents = []
    for path in folders:
        status = _status_of(path)
        documents.append({"folder": str(path), **status.model_dump(mode="json")})
        table.add_row(
            path.name, status.step, status.outcome, f"{status.updated:%F %T}", status.reason
        )
    show({"rounds": documents}, table, as_json=as_json)


def _folder(
    settings: CoordinatorConfig, study_file: Path | None, resume: Path | None, earlier: Path | None
) -> RoundFolder:
    match study_file, resume, earlier:
        case None, Path(), None:
            return RoundFolder(resume.absolute())
        case Path(), None, _:
            text = read_text(study_file, "a study (TOML)")
            check_reachable(settings.flower)  # before a counter is used up
            followed = _followed(settings, text, earlier) if earlier else None
            return prepare_round(settings, text, now=datetime.now(UTC), followed=followed)
    raise UsageError(
        "study-or-resume",
        "Expected a study file for a new round, or --resume with the folder of an old one, which "
        "holds the earlier round that it follows.",
        "Give exactly one of them; --earlier goes with a study file.",
    )


def _followed(settings: CoordinatorConfig, study_text: str, earlier: Path) -> FollowedRound:
    from server.release.following import read_followed  # noqa: PLC0415 - pandas is slow to load

    roster = read_roster(settings.coordinator.roster)
    return read_followed(earlier, parse_study(study_text), roster)


def _run(settings: CoordinatorConfig, folder: RoundFolder, *, quiet: bool) -> RoundStatus:
    before = folder.read_status()
    if before is not None and before.outcome == "complete":
        return before  # only the release is missing
    flower, clock = FlowerCli(settings), SystemClock()
    if quiet:
        return issue(settings, folder, clock, flower)
    console.print(f"Round {shown(folder.path)}")
    try:
        with console.status("submitting the round to Flower") as spinner:
            return issue(settings, folder, clock, flower, _watcher(spinner.update))
    except KeyboardInterrupt:
        console.print(f"Go on with: concause round start --resume {shown(folder.path)}")
        raise


def _watcher(spin: Callable[[RenderableType], None]) -> Callable[[RoundStatus], None]:
    """Return what prints each step once it begins, and keeps the count of answers moving."""
    seen: set[str] = set()

    def watch(status: RoundStatus) -> None:
        if status.step not in seen:
            seen.add(status.step)
            console.print(f"  {_STEPS[status.step]}")
        answered = sum(site.state == "answered" for site in status.sites)
        spin(f"{_STEPS[status.step]} ({answered} of {len(status.sites)} answered)")

    return watch


def _publish(settings: CoordinatorConfig, folder: RoundFolder, target: Path) -> "ReleaseSummary":
    from server.release.write import write_release  # noqa: PLC0415 - pandas is slow to load

    return write_release(
        target,
        folder.read_papers(),
        followed=folder.followed.read_papers() if folder.followed else None,
        signing_key=load_signing_key(settings.coordinator.signing_key),
        now=datetime.now(UTC),
    )


@app.command()
def winner(
    folder: Annotated[Path, typer.Argument(help="What `round start` wrote of a selection.")],
    roster: Annotated[Path, typer.Option(help="The roster, as you know it.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Verify a selection from its papers, and show which candidate won."""
    _show_choice(verify_choice(folder, roster.read_bytes()), folder, as_json=as_json)


def _show_choice(choice: Choice, folder: Path, *, as_json: bool) -> None:
    basis = choice.basis
    table = Table("", "", show_header=False, title="Selected")
    table.add_row("winner", f"{choice.winner} (of {', '.join(basis.study.candidates)})")
    table.add_row("cohort", f"{len(basis.cohort)} sites ({', '.join(basis.contributed)})")
    spent = f"epsilon {basis.epsilon:.3g} at delta {float(basis.plan.delta):.0e}"
    table.add_row("budget spent", spent)
    table.add_row("round", shown(folder))
    show({"round": str(folder), **choice.document}, table, as_json=as_json)


def _earlier_line(earlier: "EarlierSummary") -> str:
    if earlier.combined:
        return f"of {earlier.study}: combined with this one"
    return f"of {earlier.study}: NOT combined, other sites answered; see the report"


def _status_of(folder: Path) -> RoundStatus:
    status = RoundFolder(folder).read_status()
    if status is None:
        raise UsageError(
            "no-round",
            f"Expected a round folder that was started at {folder}, found no status.json.",
            "Give the folder that `concause round start` printed.",
        )
    return status


def _status_tables(status: RoundStatus, folder: Path) -> tuple[Table, str]:
    table = Table("site", "state", "why", "what to do", title=f"Round {folder.name}: {status.step}")
    for site in status.sites:
        remedy = site.refusal.remedy if site.refusal else ""
        code = f" ({site.refusal.code}, id {site.refusal.id})" if site.refusal else ""
        table.add_row(site.name, site.state, site.reason + code, remedy)
    for stranger in status.strangers:
        refusal = stranger.refusal
        code = f" ({refusal.code}, id {refusal.id})" if refusal else ""
        remedy = refusal.remedy if refusal else ""
        table.add_row(f"node {stranger.address}", "left out", stranger.reason + code, remedy)
    return table, f"{status.outcome}. {status.reason}".strip()


def _summary_table(summary: "ReleaseSummary", folder: Path) -> Table:
    from server.release.answers import number  # noqa: PLC0415 - pandas is slow to load

    table = Table("", "", show_header=False, title="Released")
    cohort = ", ".join(summary.contributed)
    dropped = f"; dropped: {', '.join(summary.dropped)}" if summary.dropped else ""
    table.add_row("cohort", f"{len(summary.contributed)} sites ({cohort}{dropped})")
    table.add_row("persons", f"about {summary.noisy_rows:,} (noisy)")
    both = " by both rounds" if summary.earlier else ""
    spent = f"epsilon {summary.epsilon:.3g} at delta {summary.delta:.0e}{both}"
    table.add_row("budget spent", spent)
    if summary.earlier:
        table.add_row("earlier round", _earlier_line(summary.earlier))
    for answer in summary.answers:
        unit = f" {answer.unit}" if answer.unit else ""
        table.add_row(
            answer.question.name,
            f"{answer.kind}{number(answer.estimate)}{unit} "
            f"[{number(answer.low)}, {number(answer.high)}]",
        )
        if published := answer.question.published:
            table.add_row(
                "  published", f"{published.low} to {published.high} ({published.source})"
            )
    table.add_row("synthetic data", shown(summary.synthetic))
    table.add_row("report", shown(summary.report))
    table.add_row("round", shown(folder))
    return table
