"""What a restart must not change: what was down stays down until somebody sees otherwise."""

from __future__ import annotations

from netopsd.core.inventory import Inventory
from netopsd.core.model import Resource, TicketAct
from netopsd.core.outcome import Beliefs, OutageNotice
from netopsd.core.restore import restore
from netopsd.core.world import STORED
from tests.core.network import Net, Ports, gold, inventory, port


def restarted(net: Net, changed: Inventory | None = None) -> Net:
    """Return the same network watched by a daemon that knows only what was stored.

    `changed` is the configuration it starts with, where that is another one.
    """
    inventory = changed or net.world.inventory
    stored = {name: dict(getattr(net.world, name).own) for name in STORED}
    stored["outages"] |= {outage.id: outage for outage in net.world.ended.own.values()}
    again = Net(inventory, restore(inventory, Beliefs(**stored)))
    again.at = net.at
    again.octets = net.octets
    return again


def an_unreachable_gateway() -> Net:
    """A device that has been silent for two minutes, with a service on one of its ports."""
    service = gold("S1", (port("gw", "p1"),))
    net = Net(inventory({"gw": (), "a": (), "b": ()}, services=[service]))
    for _ in range(3):
        for name in ("gw", "a", "b"):
            net.up(name, "p1")
        net.wait(30)
    for _ in range(4):
        net.miss("gw")
        net.up("a", "p1")
        net.wait(30)
    (outage,) = net.world.outages.own.values()
    assert outage.ends is None
    return net


def test_an_outage_of_an_unreachable_device_goes_on_through_a_restart() -> None:
    net = restarted(an_unreachable_gateway())
    (before,) = net.world.outages.own.values()
    for _ in range(40):  # far longer than a state is believed without a sample
        net.miss("gw")
        net.up("a", "p1")
        net.wait(30)
    (outage,) = net.world.outages.own.values()
    assert (outage.id, outage.ends) == (before.id, None)
    net.up("gw", "p1")
    (period,) = net.world.periods.own.values()
    assert period.down_s == (net.at - outage.starts).total_seconds()
    assert period.unknown_s == 0.0


def test_a_trap_heard_before_the_first_look_is_decided_by_that_look() -> None:
    linkdown = "1.3.6.1.6.3.1.1.5.3"
    net = Net(inventory({"gw": (), "a": (), "b": ()}))
    net.trap("gw", linkdown, "1")
    assert net.active() == ["gw/if/#1!link-down"], "which port that is nobody knows yet"
    net.wait(1)
    net.look("gw", Ports({"p1": 2, "p2": 1}))
    assert net.active() == ["gw/if/p1!link-down"], "it is down indeed, and has a name"
    net.wait(30)
    net.up("gw", "p1", "p2")
    assert net.active() == []


def test_what_a_person_settled_stays_settled_through_a_restart_until_it_happens_again() -> None:
    for way in (("cancelled",), ("inProgress", "resolved")):
        net = Net(inventory({"gw": (), "a": (), "b": ()}))
        net.look("gw", Ports({"p1": 2}))
        net.wait(30)
        net.wait(60)
        (ticket,) = net.tickets()
        for status in way:
            net.say(TicketAct(at=net.at, by="kari", ticket=ticket.id, status=status))
        net = restarted(net)
        for _ in range(4):
            net.look("gw", Ports({"p1": 2}))
            net.wait(30)
        assert [t.status for t in net.tickets() if t.status != "resolved"] == []
        for state in (1, 2, 2, 2, 2):
            net.look("gw", Ports({"p1": state}))
            net.wait(30)
        assert [t.status for t in net.tickets() if t.status != "resolved"] != []


def test_a_port_that_vanishes_with_its_card_is_an_outage_people_hear_of() -> None:
    service = gold("S1", (port("gw", "p1"),))
    net = Net(inventory({"gw": ()}, services=[service]))
    outcomes = net.outcomes
    for rows in (("p1", "p2"), ("p1", "p2"), ("p2",), ("p2",), ("p2",), ("p2",)):
        net.up("gw", *rows)
        net.wait(30)
        if rows == ("p2",):
            net = restarted(net)
            net.outcomes = outcomes
    assert net.active() == ["gw/if/p1!port-missing"]
    assert [t.cause for t in net.tickets()] == ["gw/if/p1!port-missing"]
    net.up("gw", "p1", "p2")
    assert net.active() == []
    assert [n.what for n in net.notices(OutageNotice)] == ["started", "ended"]  # type: ignore[attr-defined]
    (period,) = net.world.periods.own.values()
    assert (period.down_s, period.unknown_s) == (120.0, 0.0)


def test_what_is_drawn_anew_at_a_start_is_what_the_world_had_drawn_as_it_went() -> None:
    net = Net(inventory({"gw": (), "behind": (Resource("gw"),), "other": ()}))
    for _ in range(3):
        for name in ("gw", "behind", "other"):
            net.look(name, Ports({"p1": 2, "p2": 2}))
        net.wait(30)
    for _ in range(6):
        net.miss("gw")
        net.miss("behind")
        net.up("other", "p1", "p2")
        net.wait(30)
    again = restarted(net)
    assert any(net.world.symptoms.own.values())
    assert len(net.world.by_device.own["gw"]) == 3
    for name in ("by_device", "symptoms", "ticket_of"):
        assert getattr(again.world, name).own == getattr(net.world, name).own, name


def test_alarms_that_wait_for_their_tickets_get_them_all_after_a_restart() -> None:
    net = Net(inventory({"gw": (), "other": ()}))
    for name in ("gw", "other"):
        net.look(name, Ports({"p1": 2, "p2": 2}))
    again = restarted(net)
    for one in (net, again):
        assert not one.tickets()
        one.wait(120)
        assert len(one.tickets()) == 4
    assert again.world.tickets.own == net.world.tickets.own
