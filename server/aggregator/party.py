"""One aggregator's part in an opening, a process of its own: `python -m server.aggregator.party`.

CrypTen and torch.distributed keep their state in globals, and a collective that waits for a dead
party cannot be left: so each opening is a process, and who started it kills it at the deadline.

The parties meet at a store that the first of them hosts on its own address; gloo uses the given
interface alone. Neither encrypts nor authenticates: the network between aggregators is theirs to
close (a private one, or a tunnel). What crosses it are the parties' sums of shares, which add up
to the noisy sum and are uniform apart from that.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store, TCPStore

from server.aggregator.crypten_guard import (
    GENERATORS,
    DistributedCommunicator,
    Integers,
    install,
    opened,
    seed_generators,
    shared,
)
from server.aggregator.job import AGREED, COMMIT, DISAGREED, RESULT, SHARE, Job
from server.aggregator.selection import selected


class _Communicator(DistributedCommunicator):  # type: ignore[misc]
    """CrypTen's, but for how the parties find each other and how long they wait."""

    def __init__(self, job: Job, store: Store) -> None:
        limit = timedelta(seconds=job.timeout_s)
        comparing = 2 if job.choose else job.parties  # in a selection the third deals
        self.rank, self.world_size = job.place, comparing
        self.ttp_initialized = False
        self._name = f"party-{job.place}"
        self.reset_communication_stats()
        dist.init_process_group(
            "gloo", store=store, rank=job.place, world_size=job.parties, timeout=limit
        )
        self.main_group = dist.new_group(list(range(comparing)), timeout=limit)
        self.ttp_group = dist.new_group(list(range(job.parties)), timeout=limit)


def main(folder: Path) -> int:
    """Return the exit status; the result is in the folder if it is 0."""
    job = Job.read(folder)
    share: Integers = np.load(folder / SHARE, allow_pickle=False)
    install()
    seed_generators({name: bytes.fromhex(job.keys[name]) for name in GENERATORS & job.keys.keys()})
    with _meeting(job):
        if not _all_came_with(job, share.size):
            return DISAGREED
        sys.stdout.write(f"{AGREED}\n")
        sys.stdout.flush()
        if sys.stdin.readline().strip() != COMMIT:
            return 0
        keys = {name: bytes.fromhex(key) for name, key in job.keys.items()}
        result = selected(share, job.place, keys) if job.choose else opened(shared(share))
        np.save(folder / RESULT, result, allow_pickle=False)
    return 0


@contextmanager
def _meeting(job: Job) -> Iterator[None]:
    os.environ["GLOO_SOCKET_IFNAME"] = job.interface
    DistributedCommunicator.instance = _Communicator(job, _store(job))
    yield
    dist.barrier(group=DistributedCommunicator.instance.ttp_group)
    dist.destroy_process_group()


def _store(job: Job) -> TCPStore:
    limit = timedelta(seconds=job.timeout_s)
    if job.place > 0:
        return TCPStore(job.host, job.port, job.parties, is_master=False, timeout=limit)
    # Left to itself, the store would listen on every interface.
    listening = socket.create_server((job.host, job.port), reuse_port=False)
    return TCPStore(
        *(job.host, job.port, job.parties),
        is_master=True,
        timeout=limit,
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
        use_libuv=False,
    )


def _all_came_with(job: Job, length: int) -> bool:
    """Return whether all parties hold shares of one subject, of one length."""
    subject = np.frombuffer(bytes.fromhex(job.subject), "<i8")
    mine = torch.from_numpy(np.array([*subject, length, job.choose], np.int64))
    found = [torch.empty_like(mine) for _ in range(job.parties)]
    dist.all_gather(found, mine, group=DistributedCommunicator.instance.ttp_group)
    return all(bool((each == mine).all()) for each in found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
