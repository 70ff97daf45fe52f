"""What was to be judged again at a time is judged: late inputs, skipped ticks and all."""

from __future__ import annotations

from datetime import timedelta

from netopsd.core.inventory import Policy
from netopsd.core.model import Tick
from tests.core.network import T0, Net, Ports, inventory


def test_a_ticket_due_before_the_latest_tick_is_opened_at_the_next() -> None:
    """A look judged long after it was made asks for times that have passed."""
    net = Net(inventory({"gw": ()}, policy=Policy(ticket_hold_s=0)))
    net.say(Tick(T0 + timedelta(seconds=20)))
    net.look("gw", Ports({"p1": 2}))
    net.say(Tick(T0 + timedelta(seconds=21)))
    (ticket,) = net.tickets()
    assert ticket.cause == "gw/if/p1!link-down"


def test_ticks_may_be_missed_for_minutes_and_for_hours() -> None:
    for pause in (7, 600, 7200):
        net = Net(inventory({"gw": ()}, policy=Policy(silent_after_s=1e6)))
        net.wait(1)
        net.look("gw", Ports({"p1": 2}))
        net.wait(61 + pause)
        assert len(net.tickets()) == 1
        assert dict(net.world.due.items()) == {}
