"""Orders over simulated devices, in one process: a store in memory, the real core and runner."""

from __future__ import annotations

import asyncio
import contextlib
import tomllib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from collectors.netconf.activate import NetconfActivator
from collectors.netconf.settings import ActivationSettings, NetconfCredentials
from collectors.netconf.templates import Template, TemplateFile
from netopsd.activation import Activations, Pace
from netopsd.clock import SystemClock
from netopsd.core.inventory import Device, Inventory, Service
from netopsd.core.model import Batch, Input, OrderAct, PlaceOrder, Resource
from netopsd.core.ordered import ENDED, Action, Endpoint, Order, OrderItem, OrderState
from netopsd.core.outcome import Outcome
from netopsd.core.restore import restore
from netopsd.pipeline import Pipeline
from netopsd.ports import Activator
from netopsd.store.memory import MemoryStore
from simulators.netconf import NetconfSimulator
from tests.collectors.netconf.scene import simulated, target, until

SHIPPED = Path(__file__).parents[3] / "config" / "services"
QUICK = ActivationSettings(confirm_s=5, step_s=1, verify_s=0.5, lock_s=0.2, retry_s=0.05)


def shipped(name: str = "l2vpn") -> Template:
    said = tomllib.loads((SHIPPED / f"{name}.toml").read_text())
    text = (SHIPPED / f"{name}.xml.j2").read_text()
    return Template(name=name, spec=TemplateFile.model_validate(said), text=text)


def item(
    devices: Sequence[str] = ("r1", "r2", "r3"),
    action: Action = Action.ADD,
    service: str = "vpn",
    number: str = "1",
    **inputs: str,
) -> OrderItem:
    said = {"port": "ge-0/0/1", "vlan": "7", **inputs}
    clock = SystemClock()
    return OrderItem(
        order="",
        number=number,
        action=action,
        service=service,
        template="l2vpn",
        endpoints=tuple(Endpoint(device=d, inputs=tuple(sorted(said.items()))) for d in devices),
        definition=None
        if action is Action.DELETE
        else Service(
            id=service,
            name="Acme & Sons <VPN>",
            customer="acme",
            account="A1",
            zone="UTC",
            paths=tuple((Resource(d, "if", said["port"]),) for d in devices),
            target=Decimal("0.999"),
            meters=(Resource(devices[0], "if", said["port"]),),
        ),
        changed_at=clock.now(),
    )


@dataclass(eq=False)
class House:
    """Everything between an order and its devices. Restarts on its store."""

    store: MemoryStore
    devices: dict[str, NetconfSimulator]
    settings: ActivationSettings
    activator: Activator | None = None

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.steps: dict[tuple[str, str], asyncio.Event] = {}

    @contextlib.asynccontextmanager
    async def running(self, drift_every_s: float = 0.0) -> AsyncIterator[House]:
        inventory = Inventory(devices={name: Device(name=name) for name in ("r1", "r2", "r3")})
        self.world = restore(inventory, await self.store.load())
        self.pipeline = Pipeline(self.world, self.store, lambda _: [], self.clock, self)
        pace = Pace(retry_s=self.settings.retry_s, drift_every_s=drift_every_s)
        self.work = Activations(self.world, self.pipeline.mailbox, self.current, self.clock, pace)
        tasks = [asyncio.create_task(self.pipeline.run()), asyncio.create_task(self.work.run())]
        try:
            yield self
        finally:
            for task in tasks[::-1]:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception() or AssertionError

    def current(self) -> Activator:
        user = NetconfCredentials.model_validate({"user": "activate", "password": "writing"})
        targets = {name: target(sim, credentials=user) for name, sim in self.devices.items()}
        return self.activator or NetconfActivator(
            self.settings, targets, {"l2vpn": shipped()}, self.clock, self.told
        )

    def told(self, device: str, step: str) -> None:
        self.steps.setdefault((device, step), asyncio.Event()).set()

    async def reached(self, device: str, step: str) -> None:
        """Wait until a device has got that far, and not a moment longer."""
        async with asyncio.timeout(10):
            await self.steps.setdefault((device, step), asyncio.Event()).wait()

    async def place(self, *items: OrderItem, id: str = "SO-1") -> None:
        now = self.clock.now()
        order = Order(id=id, sha256=id, items=(), placed_by="", placed_at=now, changed_at=now)
        said = PlaceOrder(at=now, by="crm", order=order, items=items or (item(),))
        await self.pipeline.mailbox.durable(said)

    async def act(self, what: str, id: str = "SO-1") -> None:
        said = OrderAct(at=self.clock.now(), by="anna", order=id, what=what)
        await self.pipeline.mailbox.durable(said)

    async def ended(self, id: str = "SO-1", seconds: float = 15.0) -> OrderState:
        await until(lambda: self.world.orders[id].state in ENDED, seconds)
        return self.world.orders[id].state

    def why(self, id: str = "SO-1") -> str:
        return self.world.orders[id].why

    def notes(self) -> list[str]:
        return [note.text for note in self.store.kept.order_notes]

    def active(self) -> dict[str, list[str]]:
        """Which services each device carries."""
        found: dict[str, list[str]] = {}
        for name, device in self.devices.items():
            model: Any = device.model
            found[name] = [service.id for service in model.services]
        return found

    def locks(self) -> dict[str, int]:
        return {n: len(d.stores.locks) for n, d in self.devices.items() if d.stores.locks}

    def pending(self) -> list[str]:
        return [name for name, device in self.devices.items() if device.commits.pending]

    # pipeline.Watching

    def seen(self, batch: Batch) -> None: ...

    def recorded(self, said: Input) -> None: ...

    def committed(self, outcome: Outcome, seconds: float) -> None:
        if outcome.activate:
            self.work.nudge()


@contextlib.asynccontextmanager
async def house(
    settings: ActivationSettings = QUICK, drift_every_s: float = 0.0, **candidate: bool
) -> AsyncIterator[House]:
    """Three devices r1 … r3 and a house over them; `r2=False` has no candidate datastore."""
    async with contextlib.AsyncExitStack() as stack:
        devices = {
            name: await stack.enter_async_context(
                simulated(name, candidate=candidate.get(name, True))
            )
            for name in ("r1", "r2", "r3")
        }
        one = House(MemoryStore(), devices, settings)
        await stack.enter_async_context(one.running(drift_every_s))
        yield one
