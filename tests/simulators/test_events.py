"""What befalls the network is seen by pollers, and written down as it was."""

from tests.simulators.world import HC_IN, OPER, UPTIME, World

NAME = "1.3.6.1.2.1.31.1.1.1.1"
ADMIN = "1.3.6.1.2.1.2.2.1.7"
CHANGED = "1.3.6.1.2.1.2.2.1.9"
DISCONTINUITY = "1.3.6.1.2.1.31.1.1.1.19"
IN_32 = "1.3.6.1.2.1.2.2.1.10"
BOOTS = "1.3.6.1.6.3.10.2.1.2.0"
PEER = "1.3.6.1.2.1.15.3.1.2.10.0.0.9"


def total(world: World, name: str, port: str) -> int:
    return world.device(name).port(port).inward.total(world.now)


def test_a_port_taken_down_says_so_stops_counting_and_sends_a_trap() -> None:
    world = World()
    world.move(5)
    world.do("port_down", device="a", port="p2")
    before = world.get("a", f"{HC_IN}.2")
    world.move(60)
    assert world.get("a", f"{OPER}.2") == 2
    assert world.get("a", f"{ADMIN}.2") == 1
    assert world.get("a", f"{CHANGED}.2") == 8640500
    assert world.get("a", f"{HC_IN}.2") == before
    world.do("port_up", device="a", port="p2")
    world.move(1)
    assert world.get("a", f"{OPER}.2") == 1
    assert world.get("a", f"{HC_IN}.2") > before
    assert world.told == [("a", "linkDown"), ("a", "linkUp")]
    ports = [(line["t"], line["oper"]) for line in world.lines if line["what"] == "port"]
    assert ports == [(5.0, "down"), (65.0, "up")]


def test_admin_down_is_told_from_a_fault() -> None:
    world = World()
    world.do("admin_down", device="a", port="p2")
    assert (world.get("a", f"{ADMIN}.2"), world.get("a", f"{OPER}.2")) == (2, 2)
    world.do("admin_up", device="a", port="p2")
    assert (world.get("a", f"{ADMIN}.2"), world.get("a", f"{OPER}.2")) == (1, 1)


def test_a_flap_goes_down_and_up_as_often_as_told() -> None:
    world = World()
    world.do("port_flap", device="a", port="p2", times=3, every="2s")
    seen = []
    for _ in range(7):
        seen.append(world.get("a", f"{OPER}.2"))
        world.move(1)
    assert seen == [2, 1, 2, 1, 2, 1, 1]
    assert [trap for _, trap in world.told] == ["linkDown", "linkUp"] * 3


def test_a_cut_silences_everything_behind_it_and_nothing_else() -> None:
    world = World()
    world.do("cut", link="ab")
    assert world.get("a", f"{OPER}.1") == 2
    assert world.ask("b", [UPTIME]) is None
    assert world.ask("c", [UPTIME]) is None
    world.move(10)
    world.do("repair", link="ab")
    assert world.get("a", f"{OPER}.1") == 1
    assert world.get("b", f"{OPER}.1") == 1
    assert world.get("c", UPTIME) == 8641000  # it ran on
    states = [(line["device"], line["state"]) for line in world.lines if line["what"] == "device"]
    assert sorted(states[:2]) == [("b", "silent"), ("c", "silent")]
    assert sorted(states[2:]) == [("b", "answers"), ("c", "answers")]


def test_silence_and_downtime_are_added_up() -> None:
    world = World()
    world.move(1)
    world.do("cut", link="ab")
    world.move(10)
    world.do("repair", link="ab")
    world.move(5)
    world.do("port_down", device="a", port="p2")
    world.move(2.5)
    totals = world.network.totals(world.now)
    assert totals["silent_s"] == {"b": 10.0, "c": 10.0}
    assert totals["down_s"]["a"] == {"p1": 10.0, "p2": 2.5, "p3": 18.5}
    assert totals["down_s"]["b"] == {"ge-0/0/0": 10.0}


def test_what_is_cut_off_carries_nothing_and_its_traps_are_lost() -> None:
    world = World()
    world.do("cut", link="ab")
    before = total(world, "c", "ge-0/0/0")
    world.move(30)
    assert total(world, "c", "ge-0/0/0") == before
    assert [line["device"] for line in world.lines if line["what"] == "trap_lost"] == ["b"]
    assert world.told == [("a", "linkDown")]


def test_two_faults_on_one_port_both_have_to_go() -> None:
    world = World()
    world.do("cut", link="ab")
    world.do("port_down", device="a", port="p1")
    world.do("repair", link="ab")
    assert world.get("a", f"{OPER}.1") == 2
    assert world.ask("b", [UPTIME]) is None
    world.do("port_up", device="a", port="p1")
    assert world.get("a", f"{OPER}.1") == 1
    assert world.get("b", UPTIME)


def test_a_device_without_power_darkens_its_neighbours_and_comes_back_rebooted() -> None:
    world = World()
    world.do("device_down", device="b")
    assert world.ask("b", [UPTIME]) is None
    assert world.ask("c", [UPTIME]) is None
    assert world.get("a", f"{OPER}.1") == 2
    world.move(20)
    world.do("device_up", device="b")
    world.move(1)
    assert world.get("b", UPTIME) == 100
    assert world.get("b", BOOTS) == 2
    assert world.get("c", UPTIME) == 8642100
    assert ("b", "coldStart") in world.told


def test_a_silent_agent_forwards_on() -> None:
    world = World()
    world.do("agent_down", device="b")
    assert world.ask("b", [UPTIME]) is None
    assert world.get("c", UPTIME)
    assert world.get("a", f"{OPER}.1") == 1
    world.do("agent_up", device="b")
    assert world.get("b", BOOTS) == 1


def test_a_reboot_resets_clocks_and_counters_and_no_truth() -> None:
    world = World()
    world.move(50)
    before = total(world, "a", "p1")
    world.do("reboot", device="a", **{"for": "3s"})
    assert world.ask("a", [UPTIME]) is None
    world.move(3.5)
    assert world.get("a", UPTIME) == 50
    assert world.get("a", BOOTS) == 2
    shown = world.get("a", f"{HC_IN}.1")
    assert total(world, "a", "p1") == before + shown
    assert 0 < shown < before
    assert [line["boots"] for line in world.lines if line["what"] == "reboot"] == [2]


def test_renumbering_moves_indexes_and_keeps_names_and_counts() -> None:
    world = World()
    world.move(30)
    before = {bind.oid.split(".")[-1]: bind.value for bind in world.walk("a", NAME)[:3]}
    world.do("renumber", device="a")
    after = {bind.oid.split(".")[-1]: bind.value for bind in world.walk("a", NAME)[:3]}
    assert set(before) == set(after)
    assert set(before.values()) == set(after.values())
    assert before != after
    index = next(index for index, name in after.items() if name == b"p1")
    port = world.device("a").port("p1")
    assert world.get("a", f"{HC_IN}.{index}") == port.inward.shown(world.now)
    world.do("port_down", device="a", port="p1")
    assert world.get("a", f"{OPER}.{index}") == 2


def test_a_counter_reset_is_a_discontinuity_and_not_a_reboot() -> None:
    world = World()
    world.move(10)
    world.do("counter_reset", device="a", port="p1")
    assert world.get("a", f"{HC_IN}.1") == 0
    assert world.get("a", f"{DISCONTINUITY}.1") == world.get("a", UPTIME)
    assert world.get("a", f"{DISCONTINUITY}.2") == 0
    assert world.get("a", f"{HC_IN}.2") > 0


def test_a_counter_reset_may_be_kept_quiet() -> None:
    world = World()
    world.move(10)
    world.do("counter_reset", device="a", port="p1", discontinuity=False)
    assert world.get("a", f"{DISCONTINUITY}.1") == 0


def test_counters_wrap_at_32_and_at_64_bits() -> None:
    world = World()
    world.do("wrap", device="a", port="p1", bits=32, octets=1000)
    assert world.get("a", f"{IN_32}.1") == 2**32 - 1000
    assert world.get("a", f"{HC_IN}.1") == 2**32 - 1000
    before = total(world, "a", "p1")
    world.move(10)
    grown = total(world, "a", "p1") - before
    assert world.get("a", f"{IN_32}.1") == grown - 1000
    assert world.get("a", f"{HC_IN}.1") == 2**32 + grown - 1000
    world.do("wrap", device="a", port="p1", bits=64, octets=7)
    assert world.get("a", f"{HC_IN}.1") == 2**64 - 7
    world.move(1)
    assert world.get("a", f"{HC_IN}.1") < 2**32


def test_sysuptime_wraps_and_boots_stay() -> None:
    world = World()
    world.do("uptime_wrap", device="a", before="5s")
    world.move(4)
    assert world.get("a", UPTIME) == 2**32 - 100
    world.move(2)
    assert world.get("a", UPTIME) == 100
    assert world.get("a", BOOTS) == 1
    assert world.get("a", "1.3.6.1.6.3.10.2.1.3.0") == 42949673


def test_a_new_rate_counts_from_its_moment() -> None:
    world = World()
    world.move(10)
    before = total(world, "a", "p2")
    world.do("rate", device="a", port="p2", **{"in": 0})
    world.move(10)
    assert total(world, "a", "p2") == before
    world.do("rate", device="a", port="p2", **{"in": "80M"})
    world.move(100)
    assert total(world, "a", "p2") - before > 5e8


def test_an_object_can_be_set_and_given_back() -> None:
    world = World()
    load = "1.3.6.1.2.1.25.3.3.1.2.769"
    world.do("set", device="c", oid=load, value=99)
    assert world.get("c", load) == 99
    world.do("set", device="c", oid=f"{OPER}.1", value=7)
    world.do("renumber", device="c")
    assert world.get("c", f"{OPER}.1") == 7
    world.do("unset", device="c", oid=load)
    assert world.get("c", load) != 99


def test_a_bgp_peer_falls_and_rises_with_its_traps() -> None:
    world = World()
    assert world.get("a", PEER) == 6
    world.do("bgp_down", device="a", peer="10.0.0.9")
    assert world.get("a", PEER) == 1
    world.do("bgp_up", device="a", peer="10.0.0.9")
    assert world.get("a", PEER) == 6
    assert [trap for _, trap in world.told] == ["bgpBackwardTransition", "bgpEstablished"]


def test_octets_are_written_down_in_full_at_every_event() -> None:
    world = World()
    world.move(7)
    world.do("port_down", device="a", port="p1")
    line = next(line for line in world.lines if line["what"] == "octets" and line["device"] == "a")
    port = world.device("a").port("p1")
    assert line["ports"]["p1"] == [port.inward.total(7.0), port.outward.total(7.0)]
    assert line["at"] == "2026-01-01T00:00:07.000000+00:00"
