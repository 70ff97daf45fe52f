"""Scenario files: shipped ones load, mistakes are named with the remedy."""

import tomllib
from pathlib import Path

import pytest

from simulators.reading import BadScenario, event, make, read
from tests.simulators.world import SMALL, World

SHIPPED = sorted(Path("simulators/scenarios").glob("*.toml"))
DEVICE = '[[device]]\nname = "a"\naddress = "127.0.0.1"\nports = 1\n'
LINK = '[[link]]\nname = "l"\nnear = { device = "a", port = "ge-0/0/0" }\n'


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_is_right(path: Path) -> None:
    assert read(path).device


def test_there_are_shipped_scenarios() -> None:
    assert {"demo", "two_hundred", "lies"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEVICE + 'comunity = "x"\n', 'device[1].comunity: unknown key. Did you mean "community"?'),
        (DEVICE + "[network]\nprot = 1\n", 'network.prot: unknown key. Did you mean "port"?'),
        ("devise = 1\n" + DEVICE, 'devise: unknown key. Did you mean "device"?'),
        (DEVICE.replace("ports = 1", 'ports = [{ nam = "x" }]'), "device[1].ports[1].nam"),
        (DEVICE.replace("127.0.0.1", "10.0.0.1"), "device[1].address: not a loopback address"),
        (DEVICE + 'lie = "repaet"\n', 'device a.lie: no lie "repaet". Did you mean "repeat"?'),
        (DEVICE + "count = 2\n", 'device[1].name: 2 devices need "{n}" in their name'),
        (DEVICE + 'uptime = "5 weeks"\n', "device[1].uptime: not a time"),
        (DEVICE + 'user = "x"\n', 'device a.user: no user "x".'),
        (DEVICE + 'engine_id = "80"\n', "device a.engine_id: not of 5 to 32 octets"),
        (DEVICE + 'replay = "no.snmprec"\n', "device a.replay: no file"),
        (DEVICE + 'bgp = [{ address = "10.0.0" }]\n', "device a.bgp[1].address"),
        (DEVICE + DEVICE, "two devices have the name a"),
        (
            DEVICE + LINK + 'far = { device = "b", port = "x" }\n',
            'link[1].far.device: no device "b"',
        ),
        (
            DEVICE + LINK + 'far = { device = "a", port = "ge-0/0/1" }\n',
            'link[1].far.port: a has no port "ge-0/0/1". Did you mean "ge-0/0/0"?',
        ),
        (DEVICE + '[[at]]\ndo = "prot_down"\n', 'no event "prot_down". Did you mean "port_down"?'),
        (DEVICE + '[[at]]\ndo = "port_down"\ndevice = "a"\n', "at[1].port: port_down needs it"),
        (DEVICE + '[[at]]\ndo = "cut"\nlink = "x"\n', 'at[1].link: no link "x"'),
        (
            DEVICE + '[[at]]\ndo = "loss"\ndevice = "a"\np = 0.1\nby = 1\n',
            "at[1].by: loss takes device, p",
        ),
        (DEVICE + '[[at]]\ndo = "loss"\ndevice = "a"\np = 2\n', "at[1].p: Input should be less"),
        (
            DEVICE + '[[at]]\ndo = "trap"\ndevice = "a"\ntrap = "linkdown"\n',
            "at[1].trap: invalid literal",
        ),
        ("name = \n", "Invalid value"),
        ("", "device: Field required"),
    ],
)
def test_a_mistake_is_named_with_its_key(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(text)
    with pytest.raises(BadScenario) as caught:
        read(path)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems
    assert all(str(path) in problem for problem in caught.value.problems)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(BadScenario) as caught:
        make(tomllib.loads(DEVICE + 'lie = "x"\nuser = "y"\n[[at]]\ndo = "z"\n'))
    assert len(caught.value.problems) == 3


def test_an_event_said_from_outside_is_checked_alike() -> None:
    said = make(tomllib.loads(SMALL))
    with pytest.raises(BadScenario, match=r'a has no port "p9"'):
        event({"do": "port_down", "device": "a", "port": "p9"}, said)
    with pytest.raises(BadScenario, match="unknown key"):
        event({"do": "cut", "lnk": "ab"}, said)


def test_times_and_rates_may_have_units() -> None:
    text = DEVICE.replace("ports = 1", 'uptime = "2h"\nports = [{ name = "x", in = "2.5M" }]')
    said = make(tomllib.loads(text))
    assert said.device[0].uptime == 7200
    assert said.device[0].ports[0].inward == 2.5e6


def test_the_seed_alone_decides_what_agents_show() -> None:
    def shown(seed: int) -> list[object]:
        world = World(SMALL.replace("seed = 7", f"seed = {seed}"))
        world.move(12.5)
        world.do("renumber", device="a")
        return [bind for name in ("a", "b", "c") for bind in world.walk(name)]

    assert shown(7) == shown(7)
    assert shown(7) != shown(8)
