"""Everything that a coordinator may show a few sites in one round, and what it then knows.

The sites are the real machines; the coordinator is Byzantine: at each step it shows each site any
of the lists that the messages it holds allow, or nothing, which is also what a crash looks like. It
may wait until all sites have answered a step, since that only adds to what it can show: so going
through the steps in turn misses nothing. With `forgetful`, one site comes back after a crash as it
was before it agreed, as it would without its journal.

What is known at the end is computed from the shares revealed: secrets of which t shares are out,
and the sets of sites whose sum of vectors is then bare of masks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, combinations, product
from typing import TypeAlias

from protocol.errors import ConcauseError
from protocol.identifiers import SiteId
from protocol.secagg import site
from protocol.secagg.hashing import sites_hash
from protocol.secagg.merkle import paths_of
from protocol.secagg.messages import (
    Advert,
    Adverts,
    Agreement,
    CoordinatorMessage,
    Deliveries,
    Delivery,
    Invitation,
    MaskedVector,
    Quorum,
    Reveal,
    Shares,
    SiteMessage,
    Survivors,
    encode_message,
)
from protocol.secagg.site import AwaitingContribution, Contribution, SiteState
from tests.support.secagg_network import Consortium, consortium

Chosen: TypeAlias = frozenset[int]


@cache
def subsets(count: int) -> tuple[Chosen, ...]:
    """Return all sets of sites, of so many."""
    sizes = (combinations(range(count), size) for size in range(count + 1))
    return tuple(frozenset(each) for each in chain.from_iterable(sizes))


@dataclass(frozen=True)
class Branch:
    """Where one site is, what it has sent, and its lists; `state` None: it answers no more."""

    state: SiteState | None
    sent: tuple[SiteMessage, ...] = ()
    dealers: Chosen = frozenset()  # U2, of a site that has sent its vector

    def of(self, kind: type[SiteMessage]) -> list[SiteMessage]:
        return [message for message in self.sent if isinstance(message, kind)]


Round: TypeAlias = tuple[Branch, ...]  # one of each site


@dataclass
class Exploration:
    """All rounds of a few sites; `calls` counts what the machines were asked."""

    world: Consortium = field(default_factory=lambda: consortium(3, threshold=2, n_min=2))
    forgetful: bool = False
    calls: int = 0
    rounds: int = 0
    _known: dict[tuple[int, bytes], Branch] = field(default_factory=dict)
    _kept: list[Branch] = field(default_factory=list)  # so that ids stay theirs

    def openings(self) -> Iterator[frozenset[Chosen]]:
        """Yield, for every end that differs, the sets of sites whose sum can be opened."""
        seen: set[object] = set()
        for end in self._ends():
            self.rounds += 1
            key = knowledge(end)
            if key not in seen:
                seen.add(key)
                yield openable(end, self.world.descriptor.threshold)

    def _ends(self) -> Iterator[Round]:
        start = [Branch(self.world.invited(each)) for each in range(self.sites)]
        invitation = Invitation(self.world.signed)
        invited = tuple(self._advance(branch, invitation) for branch in start)
        adverts = _adverts(self.world, [branch.sent[0] for branch in invited])
        for shared in self._shown(invited, [adverts] * self.sites):
            deliveries = [_deliveries(self.world, shared, each) for each in range(self.sites)]
            for masked in self._shown(shared, deliveries):
                yield from self._opened(masked)

    @property
    def sites(self) -> int:
        """Return how many sites there are."""
        return len(self.world.keys)

    def _opened(self, masked: Round) -> Iterator[Round]:
        session = self.world.descriptor.session
        survivors = {it: Survivors(session, _ids(it)) for it in subsets(self.sites)}
        for agreed in self._shown(masked, [survivors] * self.sites):
            agreements = [it for branch in agreed for it in branch.of(Agreement)]
            yield tuple(self._reveal(branch, agreements) for branch in agreed)
            if self.forgetful:
                yield from self._again(masked, agreed, agreements)

    def _again(
        self, before: Round, agreed: Round, agreements: list[SiteMessage]
    ) -> Iterator[Round]:
        """Yield rounds in which one site forgets that it has agreed, and agrees anew."""
        session = self.world.descriptor.session
        for each in range(self.sites):
            first = self._reveal(agreed[each], agreements)
            for chosen in subsets(self.sites):
                again = self._advance(before[each], Survivors(session, _ids(chosen)))
                if again.state is None:
                    continue
                known = [*agreements, *again.of(Agreement)]
                second = self._reveal(again, known)
                both = Branch(None, (*first.sent, *second.of(Reveal)), first.dealers)
                others = [self._reveal(branch, known) for branch in agreed]
                others[each] = both
                yield tuple(others)

    def _reveal(self, branch: Branch, agreements: list[SiteMessage]) -> Branch:
        """Let a site reveal, by whatever quorum it takes: what it reveals does not depend on it."""
        found = sorted(
            (one for one in agreements if isinstance(one, Agreement)), key=lambda one: one.site
        )
        for size in range(1, len(found) + 1):
            for chosen in combinations(found, size):
                after = self._advance(branch, Quorum(self.world.descriptor.session, chosen))
                if after.state is not None:
                    return after
        return branch

    def _shown(
        self, branches: Round, choices: list[Mapping[Chosen, CoordinatorMessage]]
    ) -> Iterator[Round]:
        """Yield the rounds after each site was shown each choice, or nothing."""
        options = []
        for branch, messages in zip(branches, choices, strict=True):
            found: dict[object, Branch] = {None: Branch(None, branch.sent, branch.dealers)}
            for message in messages.values():
                after = self._advance(branch, message)
                if after.state is not None:
                    found[after.sent, after.dealers] = after
            options.append(list(found.values()))
        yield from product(*options)

    def _advance(self, branch: Branch, message: CoordinatorMessage) -> Branch:
        key = (id(branch), encode_message(message))
        if key not in self._known:
            self._kept.append(branch)
            self._known[key] = self._asked(branch, message)
        return self._known[key]

    def _asked(self, branch: Branch, message: CoordinatorMessage) -> Branch:
        if branch.state is None:
            return branch
        self.calls += 1
        try:
            state, outbox = site.advance(branch.state, message)
            if isinstance(state, AwaitingContribution):
                own = Contribution(self.world.vector(_site_of(branch)))
                dealers = frozenset(int(each) for each in state.dealers)
                state, outbox = site.advance(state, own)
                return Branch(state, (*branch.sent, *outbox), dealers)
        except ConcauseError:
            return Branch(None, branch.sent, branch.dealers)
        return Branch(state, (*branch.sent, *outbox), branch.dealers)


def _site_of(branch: Branch) -> int:
    return int(branch.sent[0].site)


def _ids(chosen: Chosen) -> tuple[SiteId, ...]:
    return tuple(SiteId(each) for each in sorted(chosen))


def _adverts(world: Consortium, sent: Sequence[SiteMessage]) -> Mapping[Chosen, CoordinatorMessage]:
    known = [one for one in sent if isinstance(one, Advert)]
    session = world.descriptor.session
    return {
        chosen: Adverts(session, tuple(known[it] for it in sorted(chosen)))
        for chosen in subsets(len(known))
    }


def _deliveries(
    world: Consortium, shared: Round, receiver: int
) -> Mapping[Chosen, CoordinatorMessage]:
    """Return the deliveries to a site that shares which were sent allow."""
    ready: dict[int, Delivery] = {}
    for dealer, branch in enumerate(shared):
        for shares in branch.of(Shares):
            assert isinstance(shares, Shares)
            paths = paths_of(shares.leaves)
            for pair, path in zip(shares.pairs, paths, strict=True):
                if pair.receiver == receiver:
                    ready[dealer] = Delivery(SiteId(dealer), pair, path, shares.signature)
    session = world.descriptor.session
    return {
        chosen: Deliveries(session, tuple(ready[it] for it in sorted(chosen)))
        for chosen in subsets(len(shared))
        if chosen <= set(ready)
    }


def knowledge(end: Round) -> object:
    """Return what ends have in common that tell the coordinator the same."""
    return tuple(
        (branch.dealers, bool(branch.of(MaskedVector)), tuple(branch.of(Reveal))) for branch in end
    )


def openable(end: Round, threshold: int) -> frozenset[Chosen]:
    """Return the sets of sites whose sum of vectors the coordinator can take the masks off."""
    masks, seeds = _secrets(end, threshold)
    sent = {each for each, branch in enumerate(end) if branch.of(MaskedVector)}
    return frozenset(
        chosen
        for chosen in subsets(len(end))
        if chosen
        and chosen <= sent & masks
        and all(_is_bare(end, each, chosen, seeds) for each in chosen)
    )


def _is_bare(end: Round, each: int, chosen: Chosen, seeds: set[int]) -> bool:
    """Return whether nothing is left of a site's pairwise masks in a sum over some sites.

    A mask of a pair cancels if both are in the sum and masked for each other; with the mask seed of
    either it can be computed.
    """
    for peer in end[each].dealers - {each}:
        cancels = peer in chosen and each in end[peer].dealers
        if not (cancels or each in seeds or peer in seeds):
            return False
    return True


def _secrets(end: Round, threshold: int) -> tuple[set[int], set[int]]:
    """Return the sites of whose self mask, and of whose mask seed, t shares are out."""
    masks: list[set[int]] = [set() for _ in end]
    seeds: list[set[int]] = [set() for _ in end]
    for revealer, branch in enumerate(end):
        for reveal in branch.of(Reveal):
            assert isinstance(reveal, Reveal)
            survivors = _survivors_of(reveal, len(end))
            for dealer in branch.dealers:
                (masks if dealer in survivors else seeds)[dealer].add(revealer)
    known = [
        {each for each, it in enumerate(one) if len(it) >= threshold} for one in (masks, seeds)
    ]
    return known[0], known[1]


def _survivors_of(reveal: Reveal, count: int) -> Chosen:
    return next(it for it in subsets(count) if sites_hash(_ids(it)) == reveal.survivors_hash)
