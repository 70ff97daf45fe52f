"""Of each occurrence of an alarm people hear that it was raised and that it is over, or nothing.

Whoever keeps a list of what is wrong by these notices (a webhook, a broker's retained topics) has
the right list, whatever hushes an alarm in between.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from netopsd.core.alarm import hushed
from netopsd.core.beliefs import Phase
from netopsd.core.engine import decide
from netopsd.core.inventory import Inventory, Policy, Window
from netopsd.core.model import Event, Events, Input, Reconfigured, Resource, Shelve
from netopsd.core.outcome import AlarmNotice, Beliefs, Outcome
from netopsd.core.restore import restore
from tests.core.network import T0, TRAP_LINK_DOWN, TRAP_LINK_UP, Net, Ports, inventory

KEY = "a/if/p1!link-down"


def planned(starts_s: float, ends_s: float, found: Inventory | None = None) -> Inventory:
    """A network whose device `a` is worked at for some time."""
    work = Window(
        name="repair",
        starts=T0 + timedelta(seconds=starts_s),
        ends=T0 + timedelta(seconds=ends_s),
        devices=frozenset({"a"}),
    )
    return replace(found or inventory({"a": ()}), windows=(work,))


def told(net: Net, key: str = KEY) -> list[str]:
    return [n.what for n in net.notices(AlarmNotice) if n.alarm.key == key]  # type: ignore[attr-defined]


def port_is(net: Net, state: int, looks: int = 1) -> None:
    for _ in range(looks):
        net.wait(30)
        net.look("a", Ports({"p1": state}))


def restarted(net: Net) -> Net:
    """The same network after a stop of the daemon."""
    stored = {k: dict(getattr(net.world, k).items()) for k in Beliefs.__slots__}
    again = Net(net.world.inventory, restore(net.world.inventory, Beliefs(**stored)))
    again.at, again.outcomes, again.layouts = net.at, net.outcomes, net.layouts
    return again


@pytest.mark.parametrize("stop", [False, True])
def test_an_alarm_people_heard_of_is_told_to_be_over_though_work_has_begun(stop: bool) -> None:
    net = Net(planned(300, 3600))
    port_is(net, 2, looks=12)
    assert told(net) == ["raised"]
    if stop:
        net = restarted(net)
    port_is(net, 1)
    assert told(net) == ["raised", "cleared"]
    port_is(net, 1, looks=150)
    assert told(net) == ["raised", "cleared"]


def test_an_alarm_people_heard_of_is_told_to_be_over_though_something_explains_it_now() -> None:
    net = Net(inventory({"up": (), "b": (Resource("up"),), "x": (), "y": ()}))
    for dead in [()] * 3 + [("b",)] * 8 + [("b", "up")] * 10 + [()] * 6:
        for name in ("up", "b", "x", "y"):
            if name in dead:
                net.miss(name)
            else:
                net.up(name, "p1")
        net.wait(30)
    assert told(net, "b!device-unreachable") == ["raised", "cleared"]
    assert told(net, "up!device-unreachable") == ["raised", "cleared"]


def test_an_alarm_within_planned_work_is_told_neither_to_begin_nor_to_end() -> None:
    net = Net(planned(0, 3600))
    port_is(net, 2, looks=3)
    port_is(net, 1, looks=3)
    assert told(net) == []


def test_an_alarm_that_outlasts_the_work_is_news_then() -> None:
    net = Net(planned(0, 600))
    port_is(net, 2, looks=12)
    assert told(net) == []
    port_is(net, 2, looks=12)
    assert told(net) == ["raised"]
    port_is(net, 1, looks=2)
    assert told(net) == ["raised", "cleared"]


def test_an_alarm_that_flapped_from_the_start_is_news_when_it_stays() -> None:
    net = Net(inventory({"a": ()}, policy=Policy(flap_raise=3.0)))
    for state in (2, 1, 2):
        port_is(net, state)
    assert net.world.alarms[KEY].flapping
    assert told(net) == ["raised", "cleared"]
    net = restarted(net)
    port_is(net, 2, looks=100)
    assert told(net) == ["raised", "cleared", "raised"]


def test_an_alarm_that_flaps_later_is_told_to_be_over_when_it_has_settled() -> None:
    net = Net(inventory({"a": ()}, policy=Policy(flap_raise=5.0)))
    for state in (2, 1, 2, 1):
        port_is(net, state)
    assert net.world.alarms[KEY].flapping
    assert told(net) == ["raised", "cleared", "raised"]
    port_is(net, 1, looks=100)
    assert told(net) == ["raised", "cleared"] * 2


def test_an_alarm_raised_while_it_is_shelved_is_news_when_that_is_over() -> None:
    net = Net(inventory({"a": ()}))
    port_is(net, 2)
    net.say(Shelve(at=net.at, by="kari", alarm=KEY, until=net.at + timedelta(hours=1)))
    port_is(net, 1)
    assert told(net) == ["raised", "cleared"]  # who heard of it before must hear that it is over
    net.wait(600)
    port_is(net, 2)
    port_is(net, 1)
    net.wait(600)
    port_is(net, 2)
    assert told(net) == ["raised", "cleared"]
    net.wait(3600)
    assert told(net) == ["raised", "cleared", "raised"]


def test_an_alarm_that_is_over_is_not_told_of_again() -> None:
    net = Net(inventory({"a": ()}))
    port_is(net, 2)
    port_is(net, 1)
    net.say(Shelve(at=net.at, by="kari", alarm=KEY, until=net.at + timedelta(hours=1)))
    net.wait(4000)
    assert net.world.alarms[KEY].shelved_until is None
    assert told(net) == ["raised", "cleared"]


def test_a_storm_within_planned_work_tells_no_beginning_without_its_end() -> None:
    net = Net(planned(0, 3600))
    net.up("a", "p1")
    names = (TRAP_LINK_DOWN.name, TRAP_LINK_UP.name) * 2 + (TRAP_LINK_DOWN.name,)
    events = [
        Event(
            at=net.at + timedelta(milliseconds=n),
            device="a",
            source="192.0.2.1",
            name=name,
            values={"1.3.6.1.2.1.2.2.1.1.1": "1"},
            authenticated=True,
        )
        for n, name in enumerate(names)
    ]
    net.say(Events(at=net.at + timedelta(seconds=1), items=tuple(events)))
    assert told(net) == ["raised", "cleared"] * 2
    assert not net.world.alarms[KEY].announced


class Story(Net):
    """Inputs are judged in groups: each on a draft, and believed together."""

    def __init__(self, inventory: Inventory, chance: random.Random) -> None:
        super().__init__(inventory)
        self.chance = chance
        self.draft = self.world.draft()

    def say(self, said: Input) -> Outcome:
        outcome = decide(self.draft, said)
        self.draft.apply(outcome)
        if self.chance.random() < 0.4:
            self.believe()
        return outcome

    def believe(self) -> None:
        self.outcomes.append(self.draft.out)
        self.world.apply(self.draft.out)
        self.draft = self.world.draft()

    def stop_and_start(self) -> None:
        self.believe()
        stored = {k: dict(getattr(self.world, k).items()) for k in Beliefs.__slots__}
        self.world = restore(self.world.inventory, Beliefs(**stored))
        self.draft = self.world.draft()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_list_kept_by_the_notices_is_the_list_of_what_is_wrong(
    seed: int,
) -> None:
    chance = random.Random(seed)
    devices = {"up": (), "a": (Resource("up"),), "b": (Resource("a", "if", "p1"),), "x": ()}
    policy = Policy(flap_raise=chance.choice([9.0, 1e9]), isolation_devices=9)
    found = inventory(devices, policy=policy)
    windows = tuple(
        Window(
            name=f"work {n}",
            starts=T0 + timedelta(seconds=(start := chance.randrange(4000))),
            ends=T0 + timedelta(seconds=start + chance.randrange(60, 1500)),
            devices=frozenset(chance.sample(sorted(devices), 2)),
        )
        for n in range(4)
    )
    net = Story(replace(found, windows=windows), chance)
    dead: set[str] = set()
    down: set[str] = set()
    for _ in range(120):
        net.wait(chance.choice([1, 30, 30, 60]))
        for state in (dead, down):
            if chance.random() < 0.3:
                state ^= {chance.choice(sorted(devices))}
        for name in chance.sample(sorted(devices), 4):
            if name in dead:
                net.miss(name)
            else:
                net.look(name, Ports({"p1": 2 if name in down else 1}))
        _meddle(net, chance)
    net.believe()
    _judge(net)


def _meddle(net: Story, chance: random.Random) -> None:
    known = [key for key, _ in net.draft.alarms.items()]
    match chance.randrange(8):
        case 0 if known:
            until = net.at + timedelta(seconds=chance.randrange(10, 600))
            net.say(Shelve(at=net.at, by="kari", alarm=chance.choice(known), until=until))
        case 1:
            net.trap(chance.choice("abx"), TRAP_LINK_DOWN.name, "1", authenticated=True)
        case 2:
            net.trap(chance.choice("abx"), TRAP_LINK_UP.name, "1", authenticated=True)
        case 3 if chance.random() < 0.3:
            net.stop_and_start()
        case 4 if chance.random() < 0.3:
            windows = tuple(w for w in net.world.inventory.windows if chance.random() < 0.8)
            new = replace(net.draft.inventory, windows=windows)
            net.say(Reconfigured(at=net.at, inventory=new))


def _judge(net: Story) -> None:
    heard: dict[str, list[str]] = {}
    for notice in net.notices(AlarmNotice):
        heard.setdefault(notice.alarm.occurrence_id, []).append(notice.what)  # type: ignore[attr-defined]
    assert heard
    for name, whats in heard.items():
        assert whats[0] == "raised", (name, whats)
        assert whats[1:].count("raised") == 0, (name, whats)
        assert "cleared" not in whats[:-1], (name, whats)
    standing = {name for name, whats in heard.items() if whats[-1] != "cleared"}
    active = net.alarms(Phase.ACTIVE)
    assert standing <= {a.occurrence_id for a in active}
    assert {a.occurrence_id for a in active if not hushed(a)} <= standing
