"""One lost packet in a hundred, for a day: no false alarm, no second of false downtime."""

from __future__ import annotations

import random

from netopsd.core.outcome import AlarmNotice
from tests.core.network import Net, gold, inventory, port

TRIES = 3
LOOKS = 24 * 60 * 2  # a day at 30 s


def lost(dice: random.Random, p: float) -> bool:
    """Whether a look fails: each try needs the question and the answer to arrive."""
    return all(dice.random() < 1 - (1 - p) ** 2 for _ in range(TRIES))


def day(p: float, devices: int, **policy: int) -> Net:
    dice = random.Random(7)
    names = [f"d{n}" for n in range(devices)]
    services = [gold(f"s-{name}", [port(name, "p1")]) for name in names]
    net = Net(inventory({name: [] for name in names}, services=services))
    for _ in range(LOOKS):
        for name in names:
            if lost(dice, p):
                net.miss(name)
            else:
                net.up(name, "p1")
        net.wait(30)
        net.outcomes[:] = [o for o in net.outcomes if o.notices]
    return net


def test_one_per_cent_loss_for_a_day_raises_nothing() -> None:
    net = day(0.01, devices=5)

    assert net.notices(AlarmNotice) == []
    assert all(p.down_s == 0 for _, p in net.world.periods.items())


def test_the_same_day_without_answers_does_raise() -> None:
    """The control: where nothing of one device comes back, the same loop says so."""
    net = Net(inventory({"a": [], "b": [], "c": []}))
    for _ in range(5):
        net.miss("a")
        net.up("b", "p1")
        net.up("c", "p1")
        net.wait(30)
    assert net.active() == ["a!device-unreachable"]
