"""Random stories against a simple oracle: downtime to the second, alarms and tickets consistent.

The oracle knows the whole story beforehand and looks at it sample by sample; netopsd hears it one
look at a time and may be restarted before any of them, knowing then only what it stored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from netopsd.core.beliefs import FINAL, Phase, State
from netopsd.core.inventory import Inventory, Policy, Window
from netopsd.core.model import Resource
from netopsd.core.outcome import ViolationNotice
from tests.core.network import T0, Net, Ports, gold, inventory, port
from tests.core.test_restart import restarted

STEP_S = 30
STORY = ("x", "y")
STEADY = ("a", "b", "c", "d")
PATHS = {
    "one": ((port("x", "p1"),),),
    "both": ((port("x", "p1"),), (port("y", "p1"),)),
    "device": ((Resource("y"),),),
    "either": ((port("x", "p1"), port("y", "p1")),),
}
Step = tuple[str, str, bool]  # what x shows, what y shows, whether we restart before it
SHOWN = st.sampled_from(["up", "up", "up", "down", "miss", "miss", "miss"])
STEPS = st.lists(
    st.tuples(SHOWN, SHOWN, st.sampled_from([False, False, False, True])), min_size=1, max_size=40
)


def network(window: tuple[int, int] | None = None) -> Inventory:
    services = [gold(name, *paths) for name, paths in PATHS.items()]
    found = inventory(
        {name: () for name in (*STORY, *STEADY)},
        services=services,
        policy=Policy(flap_raise=1e9, checkpoint_s=STEP_S),
    )
    if window is None:
        return found
    starts, ends = (T0 + timedelta(seconds=s) for s in window)
    return replace(
        found, windows=(Window(name="w", starts=starts, ends=ends, devices=frozenset(STORY)),)
    )


def play(steps: list[Step], found: Inventory, *, restarts: bool) -> Net:
    """Tell the story, then two looks at a whole network so that nothing hangs in the air."""
    net = Net(found)
    outcomes = net.outcomes
    whole: Step = ("up", "up", False)
    for x, y, again in [whole, *steps, whole, whole]:
        if again and restarts:
            net = restarted(net)
            net.outcomes = outcomes
            for name in STEADY:  # somebody answers first: it is not we who are cut off
                net.up(name, "p1")
        for name in STEADY:
            net.up(name, "p1")
        for name, shown in zip(STORY, (x, y), strict=True):
            if shown == "miss":
                net.miss(name)
            else:
                net.look(name, Ports({"p1": 1 if shown == "up" else 2}))
        net.wait(STEP_S)
    return net


def lines(steps: list[Step]) -> dict[Resource, list[bool]]:
    """For each resource and step: is it down from this sample to the next."""
    found: dict[Resource, list[bool]] = {}
    for n, name in enumerate(STORY):
        shown = ["up", *(step[n] for step in steps), "up", "up"]
        for resource in (Resource(name), port(name, "p1")):
            down: list[bool] = []
            for k, word in enumerate(shown):
                if word != "miss":
                    down.append(word == "down" and bool(resource.table))
                    continue
                first = k
                while shown[first - 1] == "miss":
                    first -= 1
                last = k
                while shown[last + 1] == "miss":
                    last += 1
                lost = last - first + 1 >= 3
                down.append(True if lost else down[first - 1])
            found[resource] = down
    return found


def truth(steps: list[Step], name: str, window: tuple[int, int] | None = None) -> int:
    """Seconds the service was down, outside the window."""
    states = lines(steps)
    total = 0
    for k in range(len(steps) + 2):
        if not any(all(states[r][k] for r in path) for path in PATHS[name]):
            continue
        begins, ends = k * STEP_S, (k + 1) * STEP_S
        excused = 0
        if window is not None:
            excused = max(0, min(ends, window[1]) - max(begins, window[0]))
        total += ends - begins - excused
    return total


def down(net: Net, name: str) -> float:
    return sum(p.down_s for (s, _), p in net.world.periods.items() if s == name)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_downtime_is_the_oracles_to_the_second(steps: list[Step], restarts: bool) -> None:
    net = play(steps, network(), restarts=restarts)
    for name in ("one", "device"):
        assert down(net, name) == truth(steps, name), name
    silent = 3 * STEP_S * sum(1 for x, y, _ in steps if "miss" in (x, y))
    for name in ("both", "either"):
        # What one device does while another is silent is known only as it is when that ends.
        assert abs(down(net, name) - truth(steps, name)) <= silent, name
    for (_, _), period in net.world.periods.items():
        assert period.unknown_s == 0.0


@settings(max_examples=25, deadline=None)
@given(
    STEPS,
    st.tuples(st.integers(0, 900), st.integers(1, 600)).map(lambda w: (w[0], w[0] + w[1])),
    st.booleans(),
)
def test_planned_work_costs_nothing_and_nothing_else_is_excused(
    steps: list[Step], window: tuple[int, int], restarts: bool
) -> None:
    net = play(steps, network(window), restarts=restarts)
    for name in ("one", "device"):
        assert down(net, name) == truth(steps, name, window), name


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_restarts_change_nothing(steps: list[Step]) -> None:
    calm = play(steps, network(), restarts=False)
    shaken = play(steps, network(), restarts=True)
    for shelf in ("alarms", "periods", "tickets", "outages"):
        ours, theirs = getattr(calm.world, shelf), getattr(shaken.world, shelf)
        assert dict(ours.items()).keys() == dict(theirs.items()).keys(), shelf
    for key, alarm in calm.world.alarms.items():
        other = shaken.world.alarms[key]
        assert (alarm.phase, alarm.occurrence) == (other.phase, other.occurrence)
    for key, period in calm.world.periods.items():
        if key[0] not in ("one", "device"):
            continue
        other_period = shaken.world.periods[key]
        assert (period.down_s, period.burn_told, period.tiers_broken) == (
            other_period.down_s,
            other_period.burn_told,
            other_period.tiers_broken,
        )
    told = [
        [n.violation.id for n in net.notices(ViolationNotice)]  # type: ignore[attr-defined]
        for net in (calm, shaken)
    ]
    assert told[0] == told[1]


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_history_state_and_tickets_agree(steps: list[Step]) -> None:
    net = play(steps, network(), restarts=True)
    said: defaultdict[str, list[str]] = defaultdict(list)
    open_for: dict[str, str] = {}
    for outcome in net.outcomes:
        for change in outcome.changes:
            if change.what in ("raised", "cleared"):
                said[change.alarm].append(change.what)
        for ticket in outcome.tickets.values():
            if ticket.status in FINAL:
                open_for.pop(ticket.cause, None)
            else:
                assert open_for.setdefault(ticket.cause, ticket.id) == ticket.id
    for key, words in said.items():
        assert words == ["raised", "cleared"] * (len(words) // 2) + ["raised"] * (len(words) % 2)
        phase = net.world.alarms[key].phase
        assert phase is (Phase.ACTIVE if words[-1] == "raised" else Phase.CLEARED)
    for _, service in net.world.services.items():
        assert (service.state is State.DOWN) == bool(service.outage)
