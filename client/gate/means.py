"""What the gate needs of the world outside, as values: measurement, noise, random bytes.

A unit test gives other means, and with them plays every fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from client.gate.consent import OpenSource
from client.source.count_source import CountSource
from protocol.privacy.plan import StatisticsPlan
from protocol.secagg.ring import Integers
from protocol.study.study import Study


class Point(StrEnum):
    """Where a gate can be killed, in the order of a round; the tests kill it at each."""

    INVITATION_CHECKED = "invitation-checked"
    RESERVING = "reserving"
    ADVERTISED = "advertised"
    SHARES_DEALT = "shares-dealt"
    SHARED = "shared"
    DELIVERIES_CHECKED = "deliveries-checked"
    MEASURED = "measured"
    CHARGING = "charging"
    CHARGED = "charged"
    NOISED = "noised"
    MASKED = "masked"
    AGREEING = "agreeing"
    AGREED = "agreed"
    REVEALING = "revealing"
    REVEALED = "revealed"


@dataclass(frozen=True, slots=True)
class Means:
    """The gate's hands.

    Attributes:
        open_source: the records as a study sees them, closed on leaving.
        measure: statistics of the site's records, shape (plan.length,), without noise.
        add_noise: the same with this site's share of fresh noise.
        entropy: that many fresh bytes of the operating system.
        reached: is told each `Point`; outside tests it does nothing.
    """

    open_source: OpenSource
    measure: Callable[[StatisticsPlan, Study, CountSource], Integers]
    add_noise: Callable[[StatisticsPlan, Integers], Integers]
    entropy: Callable[[int], bytes] = field(repr=False)
    reached: Callable[[Point], None] = lambda _: None
