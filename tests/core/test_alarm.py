"""The alarm table, walked exhaustively; flap damping; what people do to alarms."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from netopsd.core.alarm import NEXT, Seen, Sight, see
from netopsd.core.beliefs import Alarm, Phase
from netopsd.core.inventory import Policy
from netopsd.core.model import Acknowledge, NotAllowed, Resource, Shelve
from netopsd.core.outcome import AlarmNotice
from tests.core.network import T0, Net, Ports, inventory, port

KEY = "gw/if/p1!link-down"


def net(**policy: float) -> Net:
    return Net(inventory({"gw": []}, policy=Policy(**policy)))  # type: ignore[arg-type]


def flap(net: Net, times: int, every_s: float = 1.0) -> None:
    for _ in range(times):
        for state in (2, 1):
            net.look("gw", Ports({"p1": state}))
            net.wait(every_s)


def alarm(net: Net) -> Alarm:
    found = net.world.alarms.get(KEY)
    assert found is not None
    return found


def test_the_table_answers_every_question() -> None:
    assert set(NEXT) == set(itertools.product(Phase, Seen))


def test_only_good_news_clears_an_active_alarm() -> None:
    """Walk every story of five sights; an alarm goes quiet only after a GOOD one."""
    for story in itertools.product(Seen, repeat=5):
        world = net(flap_raise=1e9).world.draft()
        for n, seen in enumerate(story):
            before = world.alarms.get(KEY)
            at = T0 + timedelta(seconds=30 * n)
            sight = Sight(
                resource=Resource("gw", "if", "p1"), alarm="link-down", why="x", at=at, hold_s=45
            )
            see(world, seen, sight)
            after = world.alarms.get(KEY)
            if before is not None and before.phase is Phase.ACTIVE:
                assert after is not None
                assert (after.phase is Phase.CLEARED) == (seen is Seen.GOOD), story


def test_a_state_must_hold_before_it_is_told() -> None:
    slow = net()
    rules = [r for r in slow.world.inventory.thresholds if r.alarm == "link-down"]
    from dataclasses import replace

    held = Net(inventory({"gw": []}, rules=[replace(rules[0], hold_s=60)]))
    held.look("gw", Ports({"p1": 2}))
    held.wait(30)
    held.look("gw", Ports({"p1": 2}))
    assert held.active() == []
    held.wait(30)
    held.look("gw", Ports({"p1": 2}))
    assert held.active() == [KEY]
    assert alarm(held).since == T0


def test_a_flapping_alarm_is_told_a_few_times_and_then_only_counted() -> None:
    flappy = net()
    flap(flappy, 30)

    assert alarm(flappy).flapping
    assert alarm(flappy).phase is Phase.ACTIVE
    assert len(flappy.notices(AlarmNotice)) <= 6
    assert flappy.tickets() == []
    assert alarm(flappy).count > 20


def test_a_flapping_alarm_that_settles_good_clears_and_one_that_settles_bad_stays() -> None:
    for last, phase in ((1, Phase.CLEARED), (2, Phase.ACTIVE)):
        flappy = net()
        flap(flappy, 10)
        flappy.look("gw", Ports({"p1": last}))
        for _ in range(400):
            flappy.wait(30)
            flappy.look("gw", Ports({"p1": last}))
        assert not alarm(flappy).flapping
        assert alarm(flappy).phase is phase


def test_damping_has_two_thresholds_and_ends_only_below_the_lower() -> None:
    flappy = net()
    flap(flappy, 4)
    assert alarm(flappy).flapping
    flappy.wait(300)  # one half-life: 64 or 128 → above 1.5 by far
    flappy.look("gw", Ports({"p1": 1}))
    assert alarm(flappy).flapping


def test_every_change_is_kept_with_its_reason() -> None:
    story = net()
    story.look("gw", Ports({"p1": 2}))
    story.wait(1)
    story.say(Acknowledge(at=story.at, by="kari", alarm=KEY, note="looking into it"))
    story.wait(1)
    story.up("gw", "p1")

    changes = [c for o in story.outcomes for c in o.changes]
    assert [(c.what, c.by) for c in changes] == [
        ("raised", "netopsd"),
        ("acked", "kari"),
        ("cleared", "netopsd"),
    ]
    assert all(c.why for c in changes)


def test_acknowledging_does_not_clear_and_clearing_does_not_acknowledge() -> None:
    story = net()
    story.look("gw", Ports({"p1": 2}))
    story.say(Acknowledge(at=story.at, by="kari", alarm=KEY))
    assert alarm(story).phase is Phase.ACTIVE
    story.wait(30)
    story.up("gw", "p1")
    assert alarm(story).acked_by == "kari"
    story.wait(30)
    story.look("gw", Ports({"p1": 2}))
    assert alarm(story).acked_by == ""  # a new occurrence is news


def test_a_shelved_alarm_is_quiet_until_its_time_is_up() -> None:
    story = net()
    story.look("gw", Ports({"p1": 2}))
    until = story.at + timedelta(seconds=600)
    story.say(Shelve(at=story.at, by="kari", alarm=KEY, until=until))
    for _ in range(19):
        story.wait(30)
        story.look("gw", Ports({"p1": 2}))
    assert story.tickets() == []
    for _ in range(6):
        story.wait(30)
        story.look("gw", Ports({"p1": 2}))
    assert alarm(story).shelved_until is None
    assert len(story.tickets()) == 1


def test_what_cannot_be_is_refused_in_words() -> None:
    story = net()
    story.up("gw", "p1")
    for wish in (
        Acknowledge(at=T0, by="kari", alarm=KEY),
        Shelve(at=T0, by="kari", alarm=KEY, until=T0 + timedelta(hours=1)),
    ):
        with pytest.raises(NotAllowed, match="there is no alarm"):
            story.say(wish)


def test_a_device_with_too_many_alarms_says_so_once() -> None:
    many = net(alarms_per_device=10)
    many.look("gw", Ports({f"p{n}": 2 for n in range(40)}))

    assert len(many.alarms(Phase.ACTIVE)) == 11
    assert "gw!alarm-overflow" in many.active()


def test_a_vanished_port_takes_its_alarm_with_it() -> None:
    story = net()
    story.look("gw", Ports({"p1": 2, "p2": 1}))
    story.wait(30)
    story.up("gw", "p2")
    assert story.active() == []


def test_renumbering_neither_raises_nor_clears() -> None:
    story = net()
    story.look("gw", Ports({"p1": 2, "p2": 1}))
    story.wait(30)
    story.layouts.clear()
    story.look("gw", Ports({"p2": 1, "p1": 2}, index={"p1": "17", "p2": "18"}))
    assert story.active() == [KEY]
    assert alarm(story).occurrence == 1


def test_a_restart_forgets_no_alarm_and_raises_none_twice() -> None:
    from netopsd.core.outcome import Beliefs
    from netopsd.core.restore import restore

    story = net()
    story.look("gw", Ports({"p1": 2}))
    story.wait(120)
    stored = {k: dict(getattr(story.world, k).items()) for k in Beliefs.__slots__}
    again = Net(story.world.inventory, restore(story.world.inventory, Beliefs(**stored)))
    again.at = story.at
    again.wait(1)
    again.look("gw", Ports({"p1": 2}))
    assert [t.id for t in again.tickets()] == [t.id for t in story.tickets()] == ["TT-000001"]
    assert again.notices(AlarmNotice) == []
    again.wait(30)
    again.up("gw", "p1")
    assert again.active() == []
    assert port("gw", "p1") == alarm(again).resource
