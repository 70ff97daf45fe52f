"""Octets are integers that never go back, whatever is done to what the agent shows."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from simulators.flow import Flow

steps = st.lists(
    st.tuples(st.floats(0, 1000), st.sampled_from(["look", "rate", "reset", "wrap"])), max_size=30
)


@given(st.floats(0, 1e10), st.floats(0, 0.9), st.integers(0, 99), steps)
def test_the_truth_never_goes_back(rate: float, swing: float, seed: int, told: list) -> None:
    flow, now, last = Flow(rate, swing, Random(seed)), 0.0, 0
    for step, what in told:
        now += step
        if what == "rate":
            flow.run(rate / 2, now)
        elif what == "reset":
            flow.show(0, now)
            assert flow.shown(now) == 0
        elif what == "wrap":
            flow.show(2**64 - 5, now)
            assert flow.shown(now) == 2**64 - 5
        total = flow.total(now)
        assert isinstance(total, int)
        assert total >= last
        last = total


@given(st.floats(1, 1e9), st.integers(0, 99), st.floats(0.1, 100), st.floats(0.1, 100))
def test_what_the_agent_shows_differs_by_the_truth(
    rate: float, seed: int, first: float, more: float
) -> None:
    flow = Flow(rate, 0.5, Random(seed), shown=12345)
    shown, total = flow.shown(first), flow.total(first)
    assert flow.shown(first + more) - shown == flow.total(first + more) - total


def test_a_stopped_flow_stands_still_and_goes_on_where_it_was() -> None:
    flow = Flow(1000.0, 0.0, Random(1))
    flow.run(0.0, 10.0)
    assert flow.total(20.0) == flow.total(10.0) == 10_000
    flow.run(1000.0, 20.0)
    assert flow.total(21.0) == 11_000
