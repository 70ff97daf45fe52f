"""The order desk: service orders as people and systems write them become what the core judges.

An order is checked here against the configuration in force (accounts, devices, templates) in the
same words as the files are, and in the core against what is active and ordered already.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bss_bridge.settings import Contract
from bss_bridge.tmforum import contract
from collectors.netconf.activate import NetconfActivator
from netopsd.activation import Activations, Pace
from netopsd.core import engine
from netopsd.core.inventory import Service
from netopsd.core.model import PlaceOrder
from netopsd.core.ordered import (
    Action,
    Endpoint,
    Order,
    Ordered,
    OrderItem,
    ServiceLife,
    Terms,
    conflicts,
)
from netopsd.core.world import World
from netopsd.errors import BadConfiguration, NotAllowed
from netopsd.ports import Clock, Difference, Inbox
from netopsd.settings import Settings
from netopsd.settings import customers as c
from netopsd.settings import services as s
from netopsd.settings.checks import validate
from netopsd.settings.files import Source
from netopsd.settings.problems import Problems

log = logging.getLogger(__name__)

ID = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
MOST_ITEMS, MOST_ENDPOINTS = 100, 100
SERVICE_KEYS = ("name", "account", "paths", "meters", "priority", "unreachable_is_down")
ITEM_KEYS = frozenset(
    {"number", "action", "service", "template", "endpoint", "contract", *SERVICE_KEYS}
)
Table = Mapping[str, Any]


def refuse_clashes(
    settings: Settings, ordered: Iterable[Ordered], items: Iterable[OrderItem] = ()
) -> None:
    """Raise BadConfiguration where what is configured and what is ordered cannot stand together.

    `items` are those of open orders that count as active already.
    """
    wrong = conflicts(settings.inventory, ordered, items)
    files = {"device": settings.files.devices, "service": settings.files.services}
    if wrong:
        raise BadConfiguration([f"{files[one.about]}: {one.words}" for one in wrong])


class OrderDesk:
    """Takes orders in, and has them carried out by `work`."""

    def __init__(self, settings: Settings, world: World, inbox: Inbox, clock: Clock) -> None:
        self._world = world
        self._inbox = inbox
        self._clock = clock
        self._settings = settings
        self._activator = self._new_activator()
        self.work = Activations(world, inbox, lambda: self._activator, clock, _pace(settings))

    def follow(self, settings: Settings) -> None:
        """Go on with another configuration; what is under way ends as it began."""
        self._settings = settings
        self._activator = self._new_activator()
        self.work.pace = _pace(settings)
        self.work.nudge()

    def contracts(self) -> list[Contract]:
        """Return the money of every active ordered service."""
        active = [o for _, o in self._world.ordered.items() if o.state is ServiceLife.ACTIVE]
        return [money for one in active if (money := contract(one)) is not None]

    def told(self, device: str, step: str) -> None:
        """Hear how a device gets on with a change."""
        log.debug("%s: %s", device, step)

    async def place(self, document: Table, by: str) -> str:
        """Take an order in, durably, and return its id. Raises NotAllowed, in words."""
        order, items = self._draft(document)
        if self._world.orders.get(order.id) is None:  # else the core knows what to say
            for item in self._judged(order, items):
                self._activator.check(item)
        await self._inbox.durable(PlaceOrder(at=self._clock.now(), by=by, order=order, items=items))
        self.work.nudge()
        return order.id

    async def compare(self, document: Table) -> list[tuple[str, str, Difference]]:
        """Return what an order would change, as (item, service, device). Changes nothing."""
        order, items = self._draft(document)
        found: list[tuple[str, str, Difference]] = []
        judged = self._judged(order, items)
        for item in judged:
            self._activator.check(item)
        for item in judged:
            told = await self._activator.compare(item)
            found += ((item.number, item.service, one) for one in told)
        return found

    # ---- how

    def _new_activator(self) -> NetconfActivator:
        settings = self._settings
        return NetconfActivator(
            settings.activation,
            settings.netconf_devices.activators,
            settings.templates,
            self._clock,
            self.told,
        )

    def _judged(self, order: Order, items: tuple[OrderItem, ...]) -> list[OrderItem]:
        """Return the items as the core would take them. Raises NotAllowed."""
        fresh = replace(order, id=f"{order.id}?") if self._world.orders.get(order.id) else order
        said = PlaceOrder(at=self._clock.now(), by="", order=fresh, items=items)
        return list(engine.decide(self._world, said).order_items.values())

    def _draft(self, document: Table) -> tuple[Order, tuple[OrderItem, ...]]:
        source = Source(file="order", text="", data=dict(document))
        problems = Problems()
        unknown = set(document) - {"id", "description", "item"}
        for key in sorted(unknown):
            problems.unknown(source, (key,), "unknown key", key, ("id", "description", "item"))
        id = document.get("id")
        if not isinstance(id, str) or not ID.match(id):
            problems.add(source, ("id",), "must be 1 to 100 of A-Z a-z 0-9 . _ -")
        rows = document.get("item")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ITEMS:
            problems.add(source, ("item",), f"must be 1 to {MOST_ITEMS} of them")
            rows = []
        items = [self._item(row, i, source, problems) for i, row in enumerate(rows)]
        if problems:
            raise NotAllowed("; ".join(problems.lines))
        now = self._clock.now()
        order = Order(
            id=str(id),
            description=str(document.get("description", ""))[:1000],
            sha256=hashlib.sha256(
                json.dumps(document, sort_keys=True, default=str).encode()
            ).hexdigest(),
            items=(),
            placed_by="",
            placed_at=now,
            changed_at=now,
        )
        return order, tuple(item for item in items if item is not None)

    def _item(self, row: Any, i: int, source: Source, problems: Problems) -> OrderItem | None:
        at = ("item", i)
        if not isinstance(row, Mapping):
            problems.add(source, at, "must be a table")
            return None
        for key in sorted(set(row) - ITEM_KEYS):
            problems.unknown(source, (*at, key), "unknown key", key, sorted(ITEM_KEYS))
        before = len(problems.lines)
        action, service = row.get("action", "add"), row.get("service")
        if action not in set(Action):
            words = [one.value for one in Action]
            problems.unknown(source, (*at, "action"), f"unknown word {action!r}", action, words)
        if not isinstance(service, str) or not service:
            problems.add(source, (*at, "service"), "missing", 'Write service = "a-unique-id"')
        ends = self._endpoints(row.get("endpoint", []), (*at, "endpoint"), source, problems)
        definition, terms = None, None
        if len(problems.lines) == before and action != Action.DELETE:
            definition, terms = self._definition(row, ends, i, source, problems)
        if len(problems.lines) > before:
            return None
        return OrderItem(
            order="",
            number=str(row.get("number", i + 1)),
            action=Action(action),
            service=str(service),
            template=str(row.get("template", "")),
            endpoints=() if action == Action.DELETE else ends,
            definition=definition,
            terms=terms,
            changed_at=self._clock.now(),
        )

    @staticmethod
    def _endpoints(
        rows: Any, at: tuple[str | int, ...], source: Source, problems: Problems
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints: a device each, and whatever else is said are its inputs."""
        ends = []
        if not isinstance(rows, list) or len(rows) > MOST_ENDPOINTS:
            problems.add(source, at, f"must be a list of up to {MOST_ENDPOINTS}")
            return ()
        for j, row in enumerate(rows):
            if not isinstance(row, Mapping) or not isinstance(row.get("device"), str):
                problems.add(source, (*at, j), "must be a table with a device")
                continue
            inputs = []
            for key, value in row.items():
                if not isinstance(value, str | int):
                    problems.add(source, (*at, j, key), "must be text, a whole number or a bool")
                elif key != "device":
                    text = str(value).lower() if isinstance(value, bool) else str(value)
                    inputs.append((str(key), text))
            ends.append(Endpoint(device=row["device"], inputs=tuple(sorted(inputs))))
        return tuple(ends)

    def _definition(
        self,
        row: Table,
        ends: Sequence[Endpoint],
        i: int,
        source: Source,
        problems: Problems,
    ) -> tuple[Service | None, Terms | None]:
        """Return the service and its money, built as those of services.toml are."""
        at = ("item", i)
        template = self._settings.templates.get(str(row.get("template")))
        if template is None:
            known = sorted(self._settings.templates)
            what = f"unknown template {row.get('template')!r}"
            problems.unknown(source, (*at, "template"), what, row.get("template"), known)
            return None, None
        data = {"id": row["service"], **{k: row[k] for k in SERVICE_KEYS if k in row}}
        try:
            places = [template.places(end.device, dict(end.inputs)) for end in ends]
        except ValueError as error:
            problems.add(source, (*at, "endpoint"), str(error))
            return None, None
        data.setdefault("paths", [[path] for up, _ in places for path in up])
        data.setdefault("meters", [meter for _, meters in places for meter in meters])
        shape = validate(s.ServiceRow, data, source, at, problems)
        if shape is None:
            return None, None
        money = self._money(row, shape, i, source, problems)
        known_to = s.Known(
            devices=dict.fromkeys(self._settings.inventory.devices, 0),
            accounts=[a.id for one in self._settings.customers for a in one.account],
            tables=[table.name for table in self._settings.tables],
            owners=self._owners(),
            contracts={money.service: money} if money else {},
        )
        here = Problems()
        built = s.build_services([(i, shape)], known_to, source, here)
        if money is not None:
            places_of = {shape.id: at}
            devices = self._settings.inventory.devices
            s.check_precision(built, devices, places_of, source, here)
        for line in here.lines:
            problems.add(source, at, line.removeprefix("order: "))
        terms = None if money is None else _terms(money)
        return built.get(shape.id), terms

    def _owners(self) -> dict[str, Any]:
        return {a.id: customer for customer in self._settings.customers for a in customer.account}

    def _money(
        self, row: Table, shape: s.ServiceRow, i: int, source: Source, problems: Problems
    ) -> Contract | None:
        said = row.get("contract")
        if said is None:
            return None
        at = ("item", i, "contract")
        if not isinstance(said, Mapping):
            problems.add(source, at, "must be a table")
            return None
        terms = validate(c.ContractRow, {**said, "service": shape.id}, source, at, problems)
        if terms is None:
            return None
        here = Problems()
        named = {shape.id: (shape.account, shape.name or shape.id)}
        built = c.build_contracts([(i, terms)], named, self._owners(), source, here)
        for line in here.lines:
            problems.add(source, at, line.removeprefix("order: "))
        return built.get(shape.id)


def _terms(money: Contract) -> Terms:
    return Terms(
        monthly_fee=money.monthly_fee,
        currency=money.currency,
        incident_cap=money.incident_cap,
        monthly_cap=money.monthly_cap,
        minimum_credit=money.minimum_credit,
    )


def _pace(settings: Settings) -> Pace:
    said = settings.activation
    return Pace(at_once=said.at_once, retry_s=said.retry_s, drift_every_s=said.drift_every_s)
