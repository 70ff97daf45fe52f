"""The order desk: what is written in an order is checked in the words of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bss_bridge.translate import Route, Translator
from netopsd.clock import ManualClock, SystemClock
from netopsd.core import engine
from netopsd.core.model import Input, OrderProgress, PlaceOrder
from netopsd.core.ordered import OrderItem, Progress, under_way
from netopsd.core.outcome import Notice
from netopsd.core.restore import restore
from netopsd.errors import BadConfiguration, NotAllowed
from netopsd.orders import OrderDesk, refuse_clashes
from netopsd.settings import Settings, load
from netopsd.views import Believed
from tests.app.built import DEVICES, configured

ITEM: dict[str, Any] = {
    "service": "vpn",
    "template": "l2vpn",
    "account": "acme-1",
    "endpoint": [{"device": "r1", "port": "ge-0/0/1", "vlan": 7}],
    "contract": {"target": 99.9, "monthly_fee": "490.00", "tier": [{"below": 99.9, "credit": 10}]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return configured(tmp_path)


class Desk:
    """A desk whose inbox judges at once."""

    def __init__(self, settings: Settings) -> None:
        self.world = restore(settings.inventory)
        self.clock = SystemClock()
        self.desk = OrderDesk(settings, self.world, self, self.clock)
        self.said: list[Input] = []
        self.notices: list[Notice] = []

    async def put(self, said: Input) -> None:
        raise NotImplementedError

    def offer(self, said: Input) -> bool:
        raise NotImplementedError

    async def durable(self, said: Input) -> None:
        outcome = engine.decide(self.world, said)
        self.world.apply(outcome)
        self.said.append(said)
        self.notices += outcome.notices

    def place(self, *items: dict[str, Any], **more: Any) -> PlaceOrder:
        document = {"id": "SO-1", "item": list(items) or [ITEM], **more}
        asyncio.run(self.desk.place(document, "anna"))
        (said,) = [one for one in self.said if isinstance(one, PlaceOrder)][-1:]
        return said


def test_an_order_becomes_the_service_that_services_toml_would_have_made(folder: Path) -> None:
    desk = Desk(load(folder))
    (item,) = desk.place().items
    service = item.definition
    assert service is not None
    assert (service.customer, service.account, service.zone) == ("acme", "acme-1", "Europe/Oslo")
    assert [str(meter) for meter in service.meters] == ["r1/if/ge-0/0/1"]
    assert [[str(r) for r in path] for path in service.paths] == [["r1/if/ge-0/0/1"]]
    assert (service.target, service.tiers[0].credit) == (Decimal("0.999"), Decimal("0.1"))
    assert item.terms is not None
    assert (item.terms.monthly_fee, item.terms.currency) == (Decimal("490.00"), "NOK")
    assert item.endpoints[0].inputs == (("port", "ge-0/0/1"), ("vlan", "7"))


def ends(**more: Any) -> dict[str, Any]:
    return {**ITEM, "endpoint": [{**ITEM["endpoint"][0], **more}]}


@pytest.mark.parametrize(
    ("items", "more", "words"),
    [
        ([{**ITEM, "acount": "x"}], {}, 'item[1].acount: unknown key. Did you mean "account"?'),
        ([{**ITEM, "template": "l2vpm"}], {}, 'Did you mean "l2vpn"?'),
        ([{**ITEM, "account": "acme-2"}], {}, 'Did you mean "acme-1"?'),
        ([{**ITEM, "action": "ad"}], {}, 'Did you mean "add"?'),
        ([ends(vlan=5000)], {}, "vlan must be 1 to 4094, not 5000"),
        ([ends(device="r2")], {}, "device 'r2' has no netconf.activate in devices.toml"),
        ([ends(device="r9")], {}, 'unknown device "r9"'),
        ([ends(port=["x"])], {}, "must be text, a whole number or a bool"),
        ([{**ITEM, "contract": {"target": 99.9}}], {}, "monthly_fee: missing"),
        ([{**ITEM, "contract": {**ITEM["contract"], "target": 99.9999}}], {}, "below"),
        ([{**ITEM, "service": "a|b"}], {}, "without '|'"),
        ([ITEM, ITEM], {}, "each its own number|ordered twice"),
        ([], {"item": []}, "must be 1 to 100"),
        ([], {"id": "no blanks"}, "id: must be 1 to 100 of"),
        ([], {"idd": 1}, 'Did you mean "id"?'),
        (["text"], {}, "must be a table"),
        ([{**ITEM, "action": "delete"}], {}, "not active by an order"),
    ],
)
def test_what_is_wrong_with_an_order_is_said_in_words(
    folder: Path, items: list[Any], more: dict[str, Any], words: str
) -> None:
    desk = Desk(load(folder))
    with pytest.raises(NotAllowed) as refused:
        desk.place(*items, **more)
    assert any(word in str(refused.value) for word in words.split("|")) or words in str(
        refused.value
    )
    assert desk.said == []


def test_an_order_that_waits_for_a_device_shows_in_the_figures_until_it_goes_on(
    folder: Path,
) -> None:
    desk = Desk(load(folder))
    later = ManualClock(desk.clock.now() + timedelta(minutes=20))
    believed = Believed(desk.world, later, lambda: True)
    desk.place()

    def report(what: Progress, after_s: float = 0.0) -> None:
        at = later.now() - timedelta(minutes=20) + timedelta(seconds=after_s)
        said = OrderProgress(at=at, order="SO-1", item="1", what=what, attempt=1, why="r1: away")
        asyncio.run(desk.durable(said))

    report(Progress.BEGUN)
    report(Progress.DECIDED)
    assert (believed.orders()["inProgress"], believed.order_pending_s()) == (1, 0)
    report(Progress.WAITS)
    report(Progress.WAITS, 600)  # asked again in vain: it waits since the first time
    assert (believed.orders()["pending"], believed.order_pending_s()) == (1, 1200)
    report(Progress.CONFIRMED, 601)
    assert (sum(believed.orders().values()), believed.order_pending_s()) == (0, 0)


def test_violations_of_an_ordered_service_find_its_contract_and_the_office_its_price(
    folder: Path,
) -> None:
    desk = Desk(load(folder))
    desk.place()
    for what in (Progress.BEGUN, Progress.DECIDED, Progress.CONFIRMED):
        said = OrderProgress(at=desk.clock.now(), order="SO-1", item="1", what=what, attempt=1)
        asyncio.run(desk.durable(said))
    (contract,) = desk.desk.contracts()
    assert (contract.service, contract.monthly_fee) == ("vpn", Decimal("490.00"))
    translate: Callable[[Sequence[Notice]], Any] = Translator([], [Route(sink="all")])
    topics = [message.topic for message in translate(desk.notices)]
    assert topics == ["order.created", "order.changed", "service.activated", "order.changed"]
    keys = [message.key for message in translate(desk.notices)]
    assert len(set(keys)) == len(keys)


def test_a_configuration_that_clashes_with_what_was_ordered_is_refused(folder: Path) -> None:
    desk = Desk(load(folder))
    desk.place()
    for what in (Progress.BEGUN, Progress.DECIDED, Progress.CONFIRMED):
        said = OrderProgress(at=desk.clock.now(), order="SO-1", item="1", what=what, attempt=1)
        asyncio.run(desk.durable(said))
    ordered = [one for _, one in desk.world.ordered.items()]
    refuse_clashes(load(folder), ordered)
    (folder / "services.toml").write_text(
        '[[service]]\nid = "vpn"\naccount = "acme-1"\npaths = ["r1"]\n'
    )
    with pytest.raises(BadConfiguration, match=r"services.toml: service 'vpn' was ordered"):
        refuse_clashes(load(folder), ordered)


def test_a_configuration_without_a_device_that_an_order_is_at_work_on_is_refused_by_name(
    folder: Path,
) -> None:
    desk = Desk(load(folder))
    desk.place()
    (folder / "devices.toml").write_text(DEVICES.replace('"r1"', '"r3"'))
    without = load(folder)

    def at_work() -> list[OrderItem]:
        return under_way(item for _, item in desk.world.order_items.items())

    refuse_clashes(without, (), at_work())  # not begun: it will fail, and say so
    said = OrderProgress(
        at=desk.clock.now(), order="SO-1", item="1", what=Progress.BEGUN, attempt=1
    )
    asyncio.run(desk.durable(said))
    with pytest.raises(BadConfiguration) as refused:
        refuse_clashes(without, (), at_work())
    (line,) = refused.value.problems
    assert line == (
        "devices.toml: device 'r1' is to carry service 'vpn' by order SO-1, item 1, which is under "
        "way. Keep it until the order has ended, or cancel the order"
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("l2vpn.toml", "min = 1\n", "min = 'x'\n", "input[2].min: must be a whole number"),
        ("l2vpn.toml", "exclusive", "exclusiv", "exclusiv"),
        ("l2vpn.toml", "[[verify]]", "[[verfy]]", 'Did you mean "verify"?'),
        ("l2vpn.toml", "if:oper-status", "if:oper-status[", "verify"),
        ("l2vpn.toml", '"{device}/{port}"', '"{device}/{prt}"', "there is no input prt"),
        ("l2vpn.xml.j2", "{% endif %}", "", "l2vpn.xml.j2: not a Jinja template"),
    ],
)
def test_a_template_with_a_mistake_is_said_where_it_is(
    folder: Path, file: str, old: str, new: str, words: str
) -> None:
    path = folder / "services" / file
    text = path.read_text()
    path.write_text(text.replace(old, new, 1) if old in text else f"{new} = true\n{text}")
    with pytest.raises(BadConfiguration) as bad:
        load(folder)
    assert words in "\n".join(bad.value.problems)


def test_a_rollback_timer_shorter_than_what_it_must_cover_is_refused(folder: Path) -> None:
    with pytest.raises(BadConfiguration) as bad:
        load(folder, ["activation.confirm=30s", "activation.verify=20s"])
    assert "verify must fit into half of confirm" in "\n".join(bad.value.problems)
