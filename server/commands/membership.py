"""`concause coordinator approve`, `remove`, `authority`, `certify`: members and their papers."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import PeerError, UsageError
from protocol.membership import JoinRequest, Welcome, fingerprint, read_request
from protocol.secagg.roster import Roster, RosterSite, parse_roster
from protocol.signing import public_key
from server.commands.output import JsonFlag, show, shown
from server.membership.authority import Authority
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.folder import replace_file
from server.rounds.signing_key import load_signing_key

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="CONCAUSE_COORDINATOR_CONFIG", help="Its settings."),
]
DEFAULT_CONFIG = Path("coordinator.toml")


def approve(  # noqa: PLR0913 - one option per part of the welcome
    request: Annotated[Path, typer.Argument(help="What `concause site request` wrote.")],
    config: ConfigPath = DEFAULT_CONFIG,
    superlink: Annotated[
        str | None,
        typer.Option(help="HOST:PORT that sites dial; by default where the SuperLink listens."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The welcome's file; by default NAME.welcome here.")
    ] = None,
    *,
    replace_key: Annotated[
        bool,
        typer.Option("--replace", help="A new key for a site in the roster; the old is void."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take a site into the roster, and write its welcome.

    Ask the site on the telephone for the key that the request shows. Then read it the welcome's
    fingerprint. Nobody else's key changes; every site installs the new roster with a welcome of its
    own: for one that is in it already, this command writes that.
    """
    settings = load_coordinator_config(config)
    asked = _request(request)
    if as_json and not yes:
        raise UsageError(
            "confirmation-needed",
            "Expected --yes beside --json: the key is to be compared on the telephone.",
            "Look first, without --json.",
        )
    if not yes:
        typer.echo(f"{asked.name} asks to join; contact: {asked.contact or 'none given'}")
        typer.echo(f"Its key, to compare on the telephone: {asked.key.hex()}")
        typer.confirm("Take it into the roster?", abort=True)
    roster = _with(settings, asked, replace_key=replace_key)
    replace_file(settings.coordinator.roster, roster.canonical)
    welcome = _welcome(settings, roster, asked.name, superlink)
    path = out or Path(f"{asked.name}.welcome")
    path.write_bytes(welcome)
    document = {
        "site": asked.name,
        "welcome": str(path),
        "fingerprint": fingerprint(welcome),
        "roster_hash": roster.hash.hex(),
        "sites": [member.name for member in roster.sites],
    }
    words = (
        f"{asked.name} is in the roster of {roster.name}. Send it {shown(path)}, and read out its "
        f"fingerprint:\n{fingerprint(welcome)}"
    )
    show(document, words, as_json=as_json)


def remove(
    site: Annotated[str, typer.Argument(help="The site's name.")],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Take a site out of the roster. Nobody else's key changes; all install the new roster."""
    settings = load_coordinator_config(config)
    roster = _roster(settings)
    left = tuple(member for member in roster.sites if member.name != site) if roster else ()
    if roster is None or len(left) == len(roster.sites):
        raise UsageError(
            "site-unknown",
            f"Expected a site of the roster, found {site!r}.",
            "See the roster for the names.",
        )
    if not left:
        raise UsageError(
            "roster-size", "Expected a roster with at least one site left.", "Begin a new one."
        )
    after = replace(roster, sites=left)
    replace_file(settings.coordinator.roster, after.canonical)
    names = [member.name for member in left]
    document = {"roster_hash": after.hash.hex(), "sites": names}
    words = (
        f"{site} is out of the roster of {after.name}; left: {', '.join(names)}. Each needs a new "
        "welcome (`concause coordinator welcome SITE`), and approves its studies anew."
    )
    show(document, words, as_json=as_json)


def welcome(
    site: Annotated[str, typer.Argument(help="A site of the roster.")],
    config: ConfigPath = DEFAULT_CONFIG,
    superlink: Annotated[str | None, typer.Option(help="HOST:PORT that sites dial.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file; by default NAME.welcome.")] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Write a site's welcome anew, with the roster and the authority as they are now."""
    settings = load_coordinator_config(config)
    roster = _roster(settings)
    if roster is None or site not in [member.name for member in roster.sites]:
        raise UsageError(
            "site-unknown", f"Expected a site of the roster, found {site!r}.", "Approve it first."
        )
    content = _welcome(settings, roster, site, superlink)
    path = out or Path(f"{site}.welcome")
    path.write_bytes(content)
    document = {"site": site, "welcome": str(path), "fingerprint": fingerprint(content)}
    words = f"Send {shown(path)}, and read out its fingerprint:\n{fingerprint(content)}"
    show(document, words, as_json=as_json)


def authority(
    config: ConfigPath = DEFAULT_CONFIG,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or address of the SuperLink; 127.0.0.1 is always one."),
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Make the consortium's own certificate authority, and the SuperLink's certificate.

    Skip it where the hospital's authority or a public one signs.
    """
    settings = load_coordinator_config(config)
    own = _authority(settings)
    own.create(settings.coordinator.name, now=datetime.now(UTC))
    _certified(own, "superlink", ["127.0.0.1", "localhost", *(host or [])], renew=False)
    document = {"root": str(own.root), "certificate": str(own.of("superlink")[0])}
    words = (
        f"The authority is made: {shown(own.root)}; welcomes carry it to the sites. Its key, "
        "root.key, may be moved off this machine; it is needed again to renew certificates."
    )
    show(document, words, as_json=as_json)


def certify(
    name: Annotated[str, typer.Argument(help="Which server: superlink, relay, an operator.")],
    config: ConfigPath = DEFAULT_CONFIG,
    host: Annotated[list[str] | None, typer.Option(help="A name or address of it.")] = None,
    *,
    renew: Annotated[
        bool, typer.Option("--renew", help="In place of the certificate that is there.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make or renew a server's certificate, for 397 days. The sites' trust does not change."""
    own = _authority(load_coordinator_config(config))
    ends = _certified(own, name, host or ["127.0.0.1", "localhost"], renew=renew)
    path = own.of(name)[0]
    show(
        {"certificate": str(path), "until": ends},
        f"{shown(path)} holds until {ends}; restart the server that shows it.",
        as_json=as_json,
    )


def _certified(own: Authority, name: str, hosts: list[str], *, renew: bool) -> str:
    made = own.certify(name, hosts, now=datetime.now(UTC), renew=renew)
    return made.not_valid_after_utc.strftime("%Y-%m-%d")


def _authority(settings: CoordinatorConfig) -> Authority:
    root = settings.flower.root_certificates
    return Authority(root.parent if root else settings.coordinator.folder / "tls")


def _roster(settings: CoordinatorConfig) -> Roster | None:
    path = settings.coordinator.roster
    return parse_roster(path.read_bytes()) if path.exists() else None


def _with(settings: CoordinatorConfig, asked: JoinRequest, *, replace_key: bool) -> Roster:
    """Return the roster with a site in it.

    Raises:
        UsageError: a site of that name has another key, and that is not to be replaced.
    """
    member = RosterSite(asked.name, asked.key)
    roster = _roster(settings)
    if roster is None:
        own = public_key(load_signing_key(settings.coordinator.signing_key))
        return Roster(settings.coordinator.name, own, (member,))
    names = [each.name for each in roster.sites]
    if asked.name not in names:
        return replace(roster, sites=(*roster.sites, member))
    place = names.index(asked.name)
    if roster.sites[place].key != asked.key and not replace_key:
        raise UsageError(
            "other-key",
            f"Expected the key that the roster has for {asked.name}, found another.",
            "If the site has made a new key, and says so on the telephone, add --replace.",
        )
    sites = (*roster.sites[:place], member, *roster.sites[place + 1 :])
    return replace(roster, sites=sites)


def _welcome(
    settings: CoordinatorConfig, roster: Roster, site: str, superlink: str | None
) -> bytes:
    flower = settings.flower
    root = _read(flower.root_certificates).decode() if flower.root_certificates else ""
    key = load_signing_key(settings.coordinator.signing_key)
    return Welcome(site, roster, superlink or flower.superlink, root).signed(key)


def _request(path: Path) -> JoinRequest:
    try:
        return read_request(_read(path))
    except (UsageError, PeerError) as error:
        if error.code == "file-not-readable":
            raise
        raise PeerError(
            error.code,
            f"Expected a request that a site signed in {path}: {error.cause}",
            "Ask the site for a new `concause site request`.",
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "file-not-readable",
            f"Expected to read {path}, found no file that can be read.",
            "Check the path.",
        ) from error
