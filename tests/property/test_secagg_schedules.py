"""Whatever happens on the network: the exact sum of an allowed cohort, or no sum."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import CohortError
from protocol.secagg.transcript import decode, replay, verify_transcript
from tests.support.secagg_network import (
    Consortium,
    CorruptAnswer,
    CorruptRequest,
    DelayAnswer,
    Duplicate,
    Equivocate,
    Fault,
    LoseAnswer,
    LoseRequest,
    RestartCoordinator,
    RestartSite,
    Shuffle,
    consortium,
    run,
    total,
)

steps = st.integers(0, 4)
positions = st.integers(0, 5)
bits = st.integers(0, 2**14)
faults: st.SearchStrategy[Fault] = st.one_of(
    *(
        st.builds(kind, steps, positions)
        for kind in (LoseRequest, LoseAnswer, DelayAnswer, Duplicate, RestartSite)
    ),
    st.builds(CorruptRequest, steps, positions, bits),
    st.builds(CorruptAnswer, steps, positions, bits),
    st.builds(RestartCoordinator, steps),
    st.builds(Shuffle, steps, st.integers(0, 9)),
    st.builds(Equivocate, steps, st.frozensets(positions), positions),
)


@st.composite
def consortia(draw: st.DrawFn) -> Consortium:
    """Draw a consortium with any rule that is safe: 2t > n + c and t <= n_min <= n."""
    n = draw(st.integers(1, 6))
    c = draw(st.integers(0, n - 1))
    t = draw(st.integers((n + c) // 2 + 1, n))
    n_min = draw(st.integers(t, n))
    return consortium(n, threshold=t, n_min=n_min, colluders=c, length=3)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(consortia(), st.lists(faults, max_size=6))
def test_a_round_ends_in_the_exact_sum_of_its_cohort_or_in_none(
    world: Consortium, schedule: list[Fault]
) -> None:
    outcome = run(world, *schedule)
    if outcome.complete is None:
        assert isinstance(outcome.error, CohortError)
        replay(*decode(outcome.transcript))
        return
    cohort = outcome.complete.cohort
    assert len(cohort) >= max(world.descriptor.threshold, world.descriptor.n_min)
    assert sorted((*cohort, *outcome.complete.dropped)) == list(world.roster.ids)
    assert (outcome.complete.sum == total(world, cohort)).all()
    again = verify_transcript(outcome.transcript, world.roster)
    assert again.cohort == cohort
    assert (again.sum == outcome.complete.sum).all()
