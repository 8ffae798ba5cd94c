"""The executor of a SuperNode's tasks: takes the place of `flower-superexec` at a site.

It claims ClientApp tasks and no others, drops the bundle that came with them unopened, and
runs the site's own installed app in this process. Whatever the app raises leaves as fixed
words. The SuperNode may go and come back; the agent waits for it. Checked against flwr 1.41.0.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from client.gate.flower import LOOPBACK, direct_loopback
from client.gate.health import Pulse
from client.gate.keys import load_secret
from client.gate.site_config import SiteConfig
from client.gate.site_log import SiteLog

App: TypeAlias = Callable[[Message, Context], Message]
FAILED = "The site's gate failed; its log says why."
_CLAIM = "/flwr.proto.Runtime/AcquireTask"


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long the agent waits, in seconds: between looks, and after failures, doubling."""

    poll_s: float = 0.1
    first_s: float = 0.25
    longest_s: float = 2.0

    def after(self, failures: int) -> float:
        """Return the wait after so many failures in a row."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 16))


class Agent:
    """Serves one SuperNode on this machine until told to stop."""

    def __init__(
        self,
        config: SiteConfig,
        app: App,
        log: SiteLog,
        pauses: Pauses | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self._address = f"{LOOPBACK}:{config.flower.runtime_port}"
        self._secret = load_secret(config.flower.executor_secret)
        self._app = app
        self._log = log
        self._pauses = pauses or Pauses()
        self._pulse = pulse or Pulse()

    def run(self, stop: threading.Event) -> None:
        """Claim and serve tasks, one after another; a task that has begun is finished."""
        os.environ.update(direct_loopback())  # Flower's HTTP client would ask the site's proxy
        auth = SuperExecAuthHttpInterceptor(
            master_secret=self._secret, protected_methods=frozenset({_CLAIM})
        )
        failures = 0
        with self._client(auth) as claims:
            while not stop.is_set():
                try:
                    token = _claim(claims)
                except Exception as error:  # noqa: BLE001 - whatever it is, the SuperNode may come back
                    failures += 1
                    self._pulse.turned(reached=False)
                    self._report(error, failures)
                    stop.wait(self._pauses.after(failures))
                    continue
                failures = 0
                self._pulse.turned(reached=True)
                if token is None:
                    stop.wait(self._pauses.poll_s)
                else:
                    with self._pulse.at_work():
                        self._serve(token)

    def _serve(self, token: str) -> None:
        try:
            with self._client(RuntimeTokenHttpInterceptor(token)) as client:
                self._exchange(client)
        except Exception as error:  # noqa: BLE001 - the task is lost; the next one may not be
            self._log.alarm("task-failed", error=error)

    def _exchange(self, client: RuntimeHttpClient) -> None:
        heartbeat = HeartbeatSender(_heartbeat(client))
        heartbeat.start()
        context, status = None, SubStatus.FAILED
        try:
            message, context, _, _ = pull_task_input(client)  # run and bundle are not looked at
            reply, status = self._reply(message, context)
            push_message(client, reply, context)
        finally:
            push_task_output(client, context, status, "")
            heartbeat.stop()

    def _reply(self, message: Message, context: Context) -> tuple[Message, str]:
        try:
            return self._app(message, context), SubStatus.COMPLETED
        except Exception as error:  # noqa: BLE001 - its text must not reach the coordinator
            self._log.alarm("app-failed", error=error)
            failure = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, FAILED)
            return Message(failure, reply_to=message), SubStatus.FAILED

    def _client(self, interceptor: ProtobufClientInterceptor) -> RuntimeHttpClient:
        # No retry invoker: Flower's would interrupt this process when a run is stopped.
        version = RuntimeVersionHttpInterceptor(component_name="SuperExec")
        return RuntimeHttpClient.from_server_address(
            self._address,
            insecure=True,  # on loopback, guarded by the secret and the task's token
            root_certificates=None,
            interceptors=[version, interceptor],
        )

    def _report(self, error: Exception, failures: int) -> None:
        if failures & (failures - 1) == 0:  # at powers of two: a long outage is few lines
            self._log.note("supernode-unreachable", attempt=failures, code=type(error).__name__)


def _claim(claims: RuntimeHttpClient) -> str | None:
    """Return the token of a task for this site's app, if there is one."""
    response = claims.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
    return response.token if response.HasField("task") and response.token else None


def _heartbeat(client: RuntimeHttpClient) -> Callable[[], bool]:
    """Return a heartbeat that never interrupts this process, as Flower's own does."""

    def beat() -> bool:
        try:
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        except Exception:  # noqa: BLE001 - a lost beat is tried again
            return False
        return True

    return beat
