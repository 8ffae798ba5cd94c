"""What carries requests to sites and replies back, as the driver sees it; no framework.

A transport carries bytes and knows nothing of the protocol. It is not trusted: it may
lose, delay, repeat and invent replies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NewType, Protocol, TypeAlias

Address = NewType("Address", int)  # a Flower node id, 64 bits; not a SiteId


@dataclass(frozen=True, slots=True)
class Answered:
    """A site's message and its newest checkpoint, still encoded."""

    address: Address
    body: bytes = field(repr=False)
    checkpoint: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """A site's refusal, still encoded."""

    address: Address
    refusal: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """No message and no refusal: the carrier failed, or carried something else."""

    address: Address
    reason: str


Reply: TypeAlias = Answered | Declined | Broken


class Transport(Protocol):
    """Carries one request at a time to each address."""

    def addresses(self) -> Sequence[Address]:
        """Return who is connected now, ascending."""

    def push(self, requests: Mapping[Address, bytes], ttl_s: float, known: bytes = b"") -> None:
        """Send one request to each address; it and its reply are worthless after `ttl_s`.

        `known` are checkpoints of all sites, and go to each (SPEC 7.9).

        Forgets an earlier request to the same address.
        """

    def pull(self) -> Sequence[Reply]:
        """Return the replies that have come since the last call, without waiting."""
