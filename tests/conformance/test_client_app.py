"""The ClientApp over Flower's own serialisation: gates answer a round, and refuse politely."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from client.app import CONFIG_VARIABLE, GateOfEnvironment, app, client_app
from protocol import canonical
from protocol.secagg.coordinator import Complete
from protocol.secagg.messages import Invitation, encode_message
from tests.support.flower_grid import InProcessGrid, carried
from tests.support.site_world import NOW, Exchange, World

TYPE = "query.round"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


@pytest.fixture
def apps(world: World) -> dict[int, ClientApp]:
    InProcessGrid({})  # names the run that messages belong to, as Flower's runtime does
    return {site: client_app(world.open(site), lambda: NOW) for site in range(world.sites)}


def request(content: RecordDict, message_type: str = TYPE) -> Message:
    return carried(Message(content, dst_node_id=1, message_type=message_type))


def wrapped(body: bytes) -> RecordDict:
    return RecordDict({"concause": ConfigRecord({"body": body})})


def context() -> Context:
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})


def asked(app: ClientApp, message: Message) -> Message:
    return carried(app(message, context()))


def record(reply: Message) -> dict[str, bytes]:
    assert list(reply.content) == ["concause"]
    found = reply.content["concause"]
    assert isinstance(found, ConfigRecord)
    return {name: value for name, value in found.items() if isinstance(value, bytes)}


def code(response: dict[str, bytes]) -> str:
    refusal = canonical.decode(response["refusal"])
    assert isinstance(refusal, dict)
    return str(refusal["code"])


def test_round_goes_through_the_apps_of_all_sites(world: World, apps: dict[int, ClientApp]) -> None:
    exchange = Exchange(world, world.issue())
    while not isinstance(exchange.state, Complete):
        for site, body in exchange.requests().items():
            exchange.take(record(asked(apps[site], request(wrapped(body))))["body"])
        exchange.close()
    assert exchange.state.cohort == (0, 1, 2)


def test_refusal_travels_as_canonical_json(world: World, apps: dict[int, ClientApp]) -> None:
    body = encode_message(Invitation(world.issue(n_min=2)))
    assert code(record(asked(apps[0], request(wrapped(body))))) == "cohort-below-policy"


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"other": ConfigRecord({"body": b"\x01"})}),
        RecordDict({"concause": ConfigRecord({"body": "text"})}),
        RecordDict({"concause": ConfigRecord({"body": b"\x01", "more": 1})}),
        RecordDict({"concause": MetricRecord({"body": 1})}),
        RecordDict({"concause": ConfigRecord({"body": b"\x01"}), "more": ConfigRecord()}),
    ],
)
def test_message_that_holds_no_request_is_refused(
    apps: dict[int, ClientApp], content: RecordDict
) -> None:
    assert code(record(asked(apps[0], request(content)))) == "message-too-short"


@pytest.mark.parametrize("message_type", ["query", "train", "evaluate", "query.other"])
def test_messages_of_other_types_have_no_handler(
    apps: dict[int, ClientApp], message_type: str
) -> None:
    with pytest.raises(ValueError, match="function registered"):
        asked(apps[0], request(wrapped(b""), message_type))


def test_app_without_a_site_refuses_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    assert isinstance(app, ClientApp)
    assert code(GateOfEnvironment().respond(b"", now=NOW)) == "site-not-configured"


def test_app_whose_site_is_broken_refuses_politely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(world.home(0) / "site.toml"))
    (world.home(0) / "site.key").chmod(0o644)
    assert code(GateOfEnvironment().respond(b"", now=NOW)) == "site-not-ready"


def test_app_opens_the_gate_of_its_environment_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(world.home(0) / "site.toml"))
    lazy = GateOfEnvironment()
    assert code(lazy.respond(b"", now=NOW)) == "message-too-short"
    assert code(lazy.respond(b"\x99", now=NOW)) == "unknown-message"
    assert lazy._gate is not None
    lazy._gate.close()


def test_context_is_left_as_it_was(world: World, apps: dict[int, ClientApp]) -> None:
    given = context()
    apps[0](request(wrapped(encode_message(Invitation(world.issue())))), given)
    assert dict(given.state) == {}
