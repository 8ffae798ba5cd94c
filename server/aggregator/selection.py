"""Private selection: the place of the largest of shared scores, and nothing else, is opened.

Three aggregators. The first two compare the scores with CrypTen; the third deals the multiplication
triples that this takes, having given its own share to the two, and sees nothing of them. So no two
of the three may work together: that is more trust than a sum asks, and a release says so.

CrypTen's "trusted third party" gives the protocol. Its seeds, 64 bits sent in the clear, are
replaced by AES keys that each pair of operators derives from its sealing keys.
"""

from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from server.aggregator.crypten_guard import (
    DistributedCommunicator,
    Integers,
    Keystream,
    crypten_module,
    shared_number,
)

FIRST, SECOND, DEALER = range(3)
_LARGEST = crypten_module("crypten.common.functions.maximum")
_PROVIDER = crypten_module("crypten.mpc.provider.ttp_provider")


def selected(share: Integers, place: int, keys: dict[str, bytes]) -> Integers:
    """Return one where the largest score is, the first of equals, and zero elsewhere; shape (k,).

    `keys` are those that this aggregator has in common with the others: "first" with the first,
    "second" with the second, "dealer" with the third.

    Preconditions: three aggregators; |sum of shares| < 2^50 everywhere; 2 to 64 candidates.
    """
    if place == DEALER:
        _hand_over(share, keys["first"])
        _Dealer([Keystream(keys["first-triples"]), Keystream(keys["second-triples"])]).deal()
        return _told(share.size)
    own = share + _handed(share.size, place, keys)
    _PROVIDER.TTPClient = _Line(Keystream(keys["dealer-triples"]))
    winner = _compare(own)
    if place == FIRST:
        group = DistributedCommunicator.instance.ttp_group
        DistributedCommunicator.instance.send_obj("terminate", DEALER, group)
    _tell(winner)
    return winner


def _hand_over(share: Integers, key: bytes) -> None:
    """Give the dealer's share to the two: a keystream to the first, the rest to the second."""
    rest = torch.from_numpy(share.copy()) - Keystream(key).words(share.size)
    dist.send(rest, SECOND, group=DistributedCommunicator.instance.ttp_group)


def _handed(length: int, place: int, keys: dict[str, bytes]) -> Integers:
    if place == FIRST:
        mine: Integers = Keystream(keys["dealer"]).words(length).numpy()
        return mine
    rest = torch.empty(length, dtype=torch.long)
    dist.recv(rest, DEALER, group=DistributedCommunicator.instance.ttp_group)
    received: Integers = rest.numpy()
    return received


def _compare(share: Integers) -> Integers:
    """Return the one-hot winner of scores that the two parties share; only that is opened."""
    count = share.size
    # Ties go to the first: scores are spread, and the place breaks them.
    spread = share * count
    if DistributedCommunicator.instance.get_rank() == FIRST:
        spread = spread + np.arange(count - 1, -1, -1, dtype=np.int64)
    scores = shared_number(spread)
    largest, _ = _LARGEST._argmax_helper_pairwise(scores, dim=0)  # noqa: SLF001 - no ties left to break
    opened: Integers = largest.reveal().numpy()
    return opened


def _tell(winner: Integers) -> None:
    group = DistributedCommunicator.instance.ttp_group
    if DistributedCommunicator.instance.get_rank() == FIRST:
        dist.send(torch.from_numpy(winner.copy()), DEALER, group=group)


def _told(length: int) -> Integers:
    found = torch.empty(length, dtype=torch.long)
    dist.recv(found, FIRST, group=DistributedCommunicator.instance.ttp_group)
    winner: Integers = found.numpy()
    return winner


class _Line:
    """A comparing party's line to the dealer, where CrypTen looks for its client."""

    def __init__(self, keystream: Keystream) -> None:
        self._keystream = keystream

    def get(self) -> "_Line":
        """Return itself: CrypTen asks its class for the one instance."""
        return self

    def get_generator(self, device: object = None) -> Keystream:
        """Return the keystream that this party shares with the dealer."""
        del device
        return self._keystream

    def ttp_request(self, function: str, device: object, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401
        """Return the part of a triple that only the dealer can compute; of the first party."""
        del device
        communicator = DistributedCommunicator.instance
        message = {"function": function, "device": "cpu", "args": args, "kwargs": kwargs}
        communicator.send_obj(message, DEALER, communicator.ttp_group)
        size = communicator.recv_obj(DEALER, communicator.ttp_group)
        result = torch.empty(size, dtype=torch.long)
        dist.recv(result, DEALER, group=communicator.ttp_group)
        return result


class _Dealer(_PROVIDER.TTPServer):  # type: ignore[misc, name-defined]
    """CrypTen's server of triples, on keystreams that it shares with each party."""

    def __init__(self, keystreams: list[Keystream]) -> None:
        self.device = "cpu"
        self.generators = keystreams

    def _get_generators(self, device: object = None) -> list[Keystream]:
        del device
        return self.generators

    def deal(self) -> None:
        """Answer the first party until it needs no more."""
        communicator = DistributedCommunicator.instance
        group = communicator.ttp_group
        while (message := communicator.recv_obj(FIRST, group)) != "terminate":
            if message["function"] not in _PROVIDER.TTP_FUNCTIONS:
                raise PermissionError("the first party asked for something that is not dealt")
            result = getattr(self, message["function"])(*message["args"], **message["kwargs"])
            communicator.send_obj(result.size(), FIRST, group)
            dist.send(result, FIRST, group=group)
