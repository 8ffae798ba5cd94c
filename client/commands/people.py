"""`concause site person`: a key for someone of the site, and their line in the policy."""

from contextlib import closing
from pathlib import Path
from time import time
from typing import Annotated

import tomlkit
import typer

from client.commands.output import DEFAULT_CONFIG, ConfigPath, JsonFlag, replace_text, show
from client.gate.chain import Event
from client.gate.decisions import someone
from client.gate.keys import create_key, load_key
from client.gate.memory import open_memory
from client.gate.people import Person, Role
from client.gate.policy import Policy, read_policy
from client.gate.settings import parse_settings
from client.gate.site_config import read_site_config
from protocol.errors import UsageError
from protocol.signing import public_key


def person(
    name: Annotated[str, typer.Argument(help="Who it is, as the audit log shall name them.")],
    role: Annotated[Role, typer.Option(help="What they answer for.")],
    key: Annotated[Path, typer.Option(help="Their key: read if it is there, else made.")],
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="A new key for someone who has one; the old is void.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Give someone of the site a role and a key, and write both into the policy.

    A study needs a steward and a privacy-officer; an administrator ends pauses; an auditor reads.
    Keep the keys apart: whoever has both can approve alone. To take a role away, remove the person
    from policy.toml; what they signed alone does not stand any more.
    """
    site = read_site_config(config)
    path = site.site.policy
    policy = read_policy(path)
    signing_key = load_key(key) if key.exists() else None
    if not replace and name in [each.name for each in policy.people]:
        raise UsageError(
            "person-exists",
            f"Expected someone new, found {name} in the policy already.",
            "Choose another name, or give them a new key with --replace.",
        )
    if not name.strip():
        raise UsageError("person-unnamed", "Expected a name, found none.", "Write it in quotes.")
    others = [each for each in policy.people if not (replace and each.name == name)]
    if signing_key is None:
        _check(path, others, Person(name=name, role=role, key="0" * 64))
        signing_key = create_key(key)
    added = Person(name=name, role=role, key=public_key(signing_key).hex())
    text = _check(path, others, added)
    event = Event(
        event="person-named", who=someone(None), hash=added.key, why=f"{name}, {role.words}"
    )
    with closing(open_memory(site.site.folder, site.site.audit)) as memory:
        memory.note(event, now=int(time()))
    replace_text(path, text)
    document = {"name": name, "role": role.value, "public_key": added.key, "key": str(key)}
    show(document, f"{name} is {role.words}, with the key in {key}.", as_json=as_json)


def _check(path: Path, others: list[Person], added: Person) -> str:
    """Return the policy with a person added, after reading it as the gate would."""
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    people = tomlkit.aot()
    for each in (*others, added):
        people.append(tomlkit.item(each.model_dump(mode="json")))
    document["people"] = people
    text = tomlkit.dumps(document)
    parse_settings(text, path, Policy)
    return text
