"""`concause site pause`, `resume`, `withdraw`, `accept-clock`: stopping, and going on."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import time
from typing import Annotated

import typer

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    JsonFlag,
    KeyPath,
    Why,
    needed_key,
    read_study,
    show,
)
from client.gate.approvals import ApprovalFolder
from client.gate.decisions import Decisions, Signer, signer_of, someone
from client.gate.memory import open_memory
from client.gate.policy import read_policy
from client.gate.site_config import SiteConfig, read_site_config
from protocol.errors import ConcauseError, UsageError
from protocol.identifiers import Digest

_LEAST_DIGITS = 8


def pause(
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    why: Why = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Stop every round, at once. Needs no key: whoever may write to the site's folder may stop."""
    site = read_site_config(config)
    signer = _perhaps(site, key)
    with _decisions(site) as decisions:
        trouble = decisions.pause(signer, why, now=int(time()))
    _tell("The site is paused", trouble)
    words = "The site answers nothing until its administrator ends the pause: `site resume`."
    show({"paused": True, "by": someone(signer)}, words, as_json=as_json)


def resume(
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    why: Why = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """End a pause; with the site administrator's key."""
    site = read_site_config(config)
    signer = _signer(site, key)
    with _decisions(site) as decisions:
        decisions.resume(signer, why, now=int(time()))
    show({"paused": False, "by": signer.words}, "The site is at work again.", as_json=as_json)


def withdraw(
    study: Annotated[
        str | None, typer.Argument(help="The study: its TOML file, or its hash.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    why: Why = None,
    *,
    envelope: Annotated[
        bool,
        typer.Option("--envelope", help="The envelope that was signed last, in place of a study."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Withdraw the approval of a study, at once, from the round that runs too.

    With --envelope, that of all studies admitted under the envelope that was signed last. What was
    spent stays spent. Needs no key, like a pause.
    """
    if (study is None) is not envelope:
        raise UsageError(
            "study-or-envelope", "Expected a study or --envelope, found both or none.", "Give one."
        )
    site, now = read_site_config(config), int(time())
    signer = _perhaps(site, key)
    with _decisions(site) as decisions:
        if study is None:
            trouble = decisions.withdraw_envelope(signer, why, now=now)
            withdrawn = {"envelope": "the one signed last"}
        else:
            found = _study_hash(study, decisions.approved())
            trouble = decisions.withdraw(found, signer, why, now=now)
            withdrawn = {"study": found.hex()}
    _tell("It is withdrawn", trouble)
    words = "It is withdrawn. To take part again, two people approve anew."
    show({**withdrawn, "withdrawn": True, "by": someone(signer)}, words, as_json=as_json)


def accept_clock(
    config: ConfigPath = DEFAULT_CONFIG,
    key: KeyPath = None,
    why: Why = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Take the machine's clock for right, where the audit log has later entries.

    With the site administrator's key, after a clock that ran ahead was set right.
    """
    site = read_site_config(config)
    signer = _signer(site, key)
    with _decisions(site) as decisions:
        decisions.accept_clock(signer, why, now=int(time()))
    show({"by": signer.words}, "The clock is accepted as it is now.", as_json=as_json)


def _tell(done: str, trouble: ConcauseError | None) -> None:
    """Say what else is wrong, once what was to be stopped has stopped."""
    if trouble is not None:
        trouble.cause = f"{done}. But: {trouble.cause}"
        raise trouble


@contextmanager
def _decisions(site: SiteConfig) -> Iterator[Decisions]:
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        yield Decisions(memory, ApprovalFolder(site.site.folder))


def _signer(site: SiteConfig, key: Path | None) -> Signer:
    return signer_of(read_policy(site.site.policy), needed_key(key))


def _perhaps(site: SiteConfig, key: Path | None) -> Signer | None:
    return _signer(site, key) if key is not None else None


def _study_hash(text: str, approved: Collection[Digest]) -> Digest:
    path = Path(text)
    if path.exists():
        return read_study(path).hash
    matching = [study for study in approved if study.hex().startswith(text.lower())]
    if len(text) < _LEAST_DIGITS or len(matching) != 1:
        raise UsageError(
            "study-unknown",
            f"Expected a study's file, or at least {_LEAST_DIGITS} digits of the hash of one that "
            f"was approved, found {text!r}.",
            "`concause site status` lists them.",
        )
    return matching[0]
