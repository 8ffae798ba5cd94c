"""`concause site request` and `concause site install`: how a site joins a consortium."""

from contextlib import closing
from pathlib import Path
from time import time
from typing import Annotated

import tomlkit
import typer

from client.commands.output import (
    DEFAULT_CONFIG,
    ConfigPath,
    JsonFlag,
    read_file,
    replace_text,
    show,
)
from client.gate.chain import Event
from client.gate.decisions import someone
from client.gate.keys import load_key
from client.gate.memory import open_memory
from client.gate.policy import Policy
from client.gate.settings import parse_settings
from client.gate.site_config import SiteConfig, read_site_config
from protocol.errors import PolicyError, StorageError, UsageError
from protocol.membership import JoinRequest, Welcome, check_fingerprint, fingerprint, read_welcome
from protocol.signing import public_key

ROOT = "root.pem"


def request(
    config: ConfigPath = DEFAULT_CONFIG,
    contact: Annotated[str, typer.Option(help="Whom the coordinator may ask; for people.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file; by default NAME.request here.")
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Write this site's request to join: its name and public key, signed. No secret leaves."""
    site = read_site_config(config)
    key = load_key(site.site.signing_key)
    asked = JoinRequest(site.site.name, public_key(key), contact)
    path = out or Path(f"{site.site.name}.request")
    _write(path, asked.signed(key))
    document = {"request": str(path), "public_key": asked.key.hex()}
    words = (
        f"Send {path} to the coordinator. It will ask you on the telephone for your key:\n"
        f"{asked.key.hex()}"
    )
    show(document, words, as_json=as_json)


def install(
    welcome_file: Annotated[Path, typer.Argument(help="What the coordinator sent.")],
    given: Annotated[
        str, typer.Option("--fingerprint", help="As the coordinator read it out to you.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Install a coordinator's welcome: roster, authority and address, if the fingerprint fits.

    The policy allows the new roster from then on; approvals under an older one are void. Run it
    again for each new welcome.
    """
    site = read_site_config(config)
    content = read_file(welcome_file)
    check_fingerprint(content, given)
    welcome = read_welcome(content)
    _check_own(site, welcome)
    settings, policy = _settings(config, welcome), _policy(site, welcome)
    event = Event(event="roster-installed", who=someone(None), hash=welcome.roster.hash.hex())
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        memory.note(event, now=int(time()))
    if welcome.root_certificates:
        replace_text(config.absolute().parent / ROOT, welcome.root_certificates)
    replace_text(site.site.roster, welcome.roster.canonical.decode())
    replace_text(site.site.policy, policy)
    replace_text(config, settings)
    names = [member.name for member in welcome.roster.sites]
    document = {
        "roster": welcome.roster.name,
        "roster_hash": welcome.roster.hash.hex(),
        "sites": names,
        "superlink": welcome.superlink,
        "fingerprint": fingerprint(content),
    }
    words = (
        f"Installed the roster of {welcome.roster.name}: {', '.join(names)}.\n"
        "The policy allows it; look through policy.toml for the rest, then run "
        "`concause site doctor`."
    )
    show(document, words, as_json=as_json)


def _check_own(site: SiteConfig, welcome: Welcome) -> None:
    """Check that a welcome is for this site and its key.

    Raises:
        UsageError: it is for another site.
        PolicyError: the roster has another key for it.
    """
    name, own = site.site.name, public_key(load_key(site.site.signing_key))
    if welcome.site != name:
        raise UsageError(
            "welcome-for-another-site",
            f"Expected a welcome for {name}, found one for {welcome.site}.",
            "Ask the coordinator for this site's own.",
        )
    if own not in [member.key for member in welcome.roster.sites if member.name == name]:
        raise PolicyError(
            "welcome-other-key",
            f"The roster has another key for {name} than this site's.",
            "Send a new `concause site request`; if the key was replaced, the coordinator approves "
            "it with --replace.",
        )


def _settings(config: Path, welcome: Welcome) -> str:
    """Return site.toml with the coordinator's address and authority, as it will be read."""
    document = tomlkit.parse(config.read_text(encoding="utf-8"))
    flower = document["flower"]
    flower["superlink"] = welcome.superlink
    if welcome.root_certificates:
        flower["root_certificates"] = ROOT
        flower["insecure"] = False
    text = tomlkit.dumps(document)
    parse_settings(text, config, SiteConfig, folder=config.absolute().parent)
    return text


def _policy(site: SiteConfig, welcome: Welcome) -> str:
    document = tomlkit.parse(site.site.policy.read_text(encoding="utf-8"))
    if "roster" in document:
        document["roster"] = welcome.roster.hash.hex()
        text = tomlkit.dumps(document)
    else:  # before the tables, which a key must not follow
        line = f'roster = "{welcome.roster.hash.hex()}"\n'
        text = tomlkit.dumps(document).replace("\naggregation", f"\n{line}aggregation", 1)
    if parse_settings(text, site.site.policy, Policy).roster != welcome.roster.hash.hex():
        raise UsageError(
            "policy-not-written",
            f"Expected a place for the roster in {site.site.policy}.",
            f'Write roster = "{welcome.roster.hash.hex()}" there, above the first table.',
        )
    return text


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(
            "file-not-writable", f"Expected to be allowed to write {path}.", "Choose another."
        ) from error
