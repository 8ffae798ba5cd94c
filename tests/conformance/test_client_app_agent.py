"""The agent against Flower's own Runtime API: claims what it should, and tells what it may."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType

from client.app import client_app
from client.gate.agent import FAILED, Agent, App, Pauses
from client.gate.site_log import SiteLog
from protocol.secagg.messages import Advert, Invitation, decode_answer, encode_message
from tests.support.flower_grid import InProcessGrid
from tests.support.site_supernode import RuntimeDouble, free_port, serving
from tests.support.site_world import NOW, World

QUICK = Pauses(poll_s=0.01, first_s=0.02, longest_s=0.05)
PLANTED = "patient 4711"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    InProcessGrid({})  # names the run that messages belong to
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with closing(World(tmp_path)) as world:
        settings = world.home(0) / "site.toml"
        port = f"runtime_port = {free_port()}\ninsecure = true"
        settings.write_text(settings.read_text().replace("insecure = true", port))
        yield world


@contextmanager
def at_work(world: World, app: App) -> Iterator[None]:
    """Run an agent in a thread until the block is left."""
    stop = threading.Event()
    with closing(SiteLog(world.folder / "agent.jsonl")) as log:
        agent = Agent(world.config(0), app, log, QUICK)
        thread = threading.Thread(target=agent.run, args=[stop])
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()


def port_of(world: World) -> int:
    return world.config(0).flower.runtime_port


def request(body: bytes) -> Message:
    content = RecordDict({"concause": ConfigRecord({"body": body})})
    return Message(content, dst_node_id=1, message_type="query.round")


def asked(runtime: RuntimeDouble, body: bytes) -> bytes:
    """Return what the app answers to a body, by way of the SuperNode."""
    runtime.ask(request(body))
    record = runtime.next_reply().content["concause"]
    assert isinstance(record, ConfigRecord)
    answer = record["body"]
    assert isinstance(answer, bytes)
    return answer


def log_of(world: World) -> list[dict[str, str]]:
    return [json.loads(line) for line in (world.folder / "agent.jsonl").read_text().splitlines()]


def echo(message: Message, _: Context) -> Message:
    return Message(message.content, reply_to=message)


def test_gate_answers_through_the_supernode_and_the_bundle_stays_shut(world: World) -> None:
    runtime, app = RuntimeDouble(), client_app(world.open(0), lambda: NOW)
    with serving(runtime, port_of(world)), at_work(world, app):
        body = asked(runtime, encode_message(Invitation(world.issue())))
    assert isinstance(decode_answer(body), Advert)


def test_several_messages_are_served_one_after_another(world: World) -> None:
    runtime = RuntimeDouble()
    with serving(runtime, port_of(world)), at_work(world, echo):
        for number in range(3):
            assert asked(runtime, bytes([number])) == bytes([number])


def test_exception_of_the_app_leaves_as_fixed_words(world: World) -> None:
    def failing(_: Message, __: Context) -> Message:
        raise ValueError(PLANTED)

    runtime = RuntimeDouble()
    with serving(runtime, port_of(world)), at_work(world, failing):
        runtime.ask(request(b"x"))
        reply = runtime.next_reply()
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED)
    (task,) = runtime.state.get_tasks()
    assert PLANTED not in str(task)
    assert any(PLANTED in line.get("trace", "") for line in log_of(world))


def test_tasks_of_other_kinds_are_left_alone(world: World) -> None:
    runtime = RuntimeDouble()
    with serving(runtime, port_of(world)), at_work(world, echo):
        runtime.add_task(TaskType.SERVER_APP)
        asked(runtime, b"x")
    assert runtime.pending() == 1


def test_agent_waits_for_a_supernode_that_is_away_and_comes_back(world: World) -> None:
    runtime = RuntimeDouble()
    with at_work(world, echo), ExitStack() as supernode:
        supernode.enter_context(serving(runtime, port_of(world)))
        assert asked(runtime, b"1") == b"1"
        supernode.close()
        threading.Event().wait(0.2)
        supernode.enter_context(serving(again := RuntimeDouble(), port_of(world)))
        assert asked(again, b"2") == b"2"
    assert {line["event"] for line in log_of(world)} == {"supernode-unreachable"}


def test_agent_without_the_secret_is_given_nothing(world: World) -> None:
    runtime = RuntimeDouble()
    with serving(runtime, port_of(world), secret=b"another" * 5), at_work(world, echo):
        runtime.ask(request(b"x"))
        threading.Event().wait(0.3)
    assert runtime.pending() == 1


def test_agent_calls_its_supernode_past_the_proxy(world: World) -> None:
    os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
    runtime = RuntimeDouble()
    with serving(runtime, port_of(world)), at_work(world, echo):
        assert asked(runtime, b"x") == b"x"


def test_waits_double_up_to_the_longest() -> None:
    assert [Pauses().after(failures) for failures in (1, 2, 6, 9999)] == [0.25, 0.5, 2.0, 2.0]
