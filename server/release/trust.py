"""Whom a reader of a release has to trust, in words, by how the sum was made."""

from protocol.secagg.descriptor import Aggregation
from server.release.basis import Basis

_MASKING = (
    "Distributed trust. No party sees another site's records or un-noised counts. Each site "
    "adds its share of the noise before its vector leaves, and masks it; the coordinator learns "
    "the noisy sum and nothing else, as long as fewer than the threshold of sites help it to "
    "unmask. The promise holds against the coordinator together with the tolerated number of "
    "colluding sites, and against everyone who reads this release."
)
_AGGREGATORS = (
    "Trust in one of {count} operators. Each site adds its share of the noise, then splits its "
    "vector into {count} parts that mean nothing alone, one sealed to each of {names}. They add "
    "the parts up and open the sum only, together. The promise holds as long as at least one of "
    "them does not work with the others: if all {count} did, they could see every site's noisy "
    "numbers, though never a record. It holds against the coordinator together with all but one "
    "of them and the tolerated number of colluding sites, and against everyone who reads this "
    "release. That the sum is right rests on all {count}, who signed it; it cannot be made again "
    "from the transcript."
)


def trust_in_words(basis: Basis) -> str:
    """Return the model of trust of a round, for people who answer for it."""
    if basis.descriptor.aggregation is Aggregation.MASKING:
        return _MASKING
    *others, last = (aggregator.name for aggregator in basis.roster.aggregators)
    count = {2: "two", 3: "three"}[len(basis.roster.aggregators)]
    return _AGGREGATORS.format(count=count, names=f"{', '.join(others)} and {last}")


def left_the_sites(basis: Basis) -> str:
    """Return what left the sites, in words."""
    if basis.descriptor.aggregation is Aggregation.MASKING:
        return "masked vectors of noisy integers, and the keys of one round"
    return "noisy integers in parts, each sealed to one aggregator, and the keys of one round"
