"""Flower's SecAgg+ on its own code: its workflow and its client mod, over a Grid in one process.

Every site is the neighbour of every other, with our threshold, as in our rounds. What Flower
takes to turn messages into bytes and back is left out of its time.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.compat.common import recorddict_compat as compat
from flwr.server import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

_UNAVAILABLE = 5


@dataclass
class Seconds:
    """CPU seconds of one round, at the coordinator and at one site that stays."""

    coordinator: float
    site: float


@dataclass
class _Proxy:
    node_id: int


class _Everyone(FedAvg):
    """Asks every site for its vector; what is done with the sum is no matter here."""

    def __init__(self, sites: int) -> None:
        super().__init__()
        self._proxies = [_Proxy(node) for node in range(1, sites + 1)]
        self.reported: int | None = None

    def configure_fit(self, *_: object) -> list[Any]:
        return [(proxy, FitIns(ndarrays_to_parameters([]), {})) for proxy in self._proxies]

    def aggregate_fit(
        self, server_round: int, results: list[Any], failures: list[Any]
    ) -> tuple[None, dict[str, Any]]:
        del server_round, failures
        self.reported = len(results)
        return None, {}


class _Sites(Grid):
    """Flower's client mod for every site, each with its own context; the last ones drop out."""

    def __init__(self, sites: int, vector: np.ndarray[Any, Any], dropped: int) -> None:
        self._contexts = {node: _context(node) for node in range(1, sites + 1)}
        self._stays = sites - dropped
        self._parameters = ndarrays_to_parameters([vector])
        self.seconds_away = self.seconds_of_one = 0.0
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        del timeout
        began = time.process_time()
        replies = [self._reply(_carried(message)) for message in messages]
        self.seconds_away += time.process_time() - began
        return replies

    def _reply(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        stage = message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]
        if node > self._stays and stage in {Stage.COLLECT_MASKED_VECTORS, Stage.UNMASK}:
            return Message(Error(_UNAVAILABLE, "gone"), reply_to=message)
        began = time.process_time()
        reply = secaggplus_mod(message, self._contexts[node], self._fit)
        if node == 1:
            self.seconds_of_one += time.process_time() - began
        return _carried(reply)

    def _fit(self, message: Message, _: Context) -> Message:
        result = FitRes(Status(Code.OK, ""), self._parameters, 1, {})
        return Message(compat.fitres_to_recorddict(result, keep_input=True), reply_to=message)

    def set_run(self, run: object) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: object, **__: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> list[int]:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError


def play(sites: int, length: int, *, threshold: int, dropped: int) -> Seconds:
    """Play one round of `sites`, of which the last `dropped` answer no more when masks are due."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    grid = _Sites(sites, np.zeros(length, np.float32), dropped)
    everyone = _Everyone(sites)
    context = LegacyContext(_context(0), strategy=everyone)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    nothing = compat.parameters_to_arrayrecord(ndarrays_to_parameters([]), keep_input=True)
    context.state.array_records[MAIN_PARAMS_RECORD] = nothing
    workflow = SecAggPlusWorkflow(1.0, threshold / sites)
    began = time.process_time()
    workflow(grid, context)
    total = time.process_time() - began
    if everyone.reported != sites - dropped:
        raise AssertionError("SecAgg+ did not finish its round")
    return Seconds(total - grid.seconds_away, grid.seconds_of_one)


def _carried(message: Message) -> Message:
    return message_from_proto(message_to_proto(message))


def _context(node: int) -> Context:
    return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
