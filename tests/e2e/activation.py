"""Orders over three devices while the daemon is killed at every step, again and again.

    python -m tests.e2e.activation --kills 100

Each life of the daemon first ends what the one before left, is judged, then gets the next order
and is killed at its next step. What must hold whenever no order is open: each device has all of a
service or none; no lock and no open confirmed commit is left; an order that says completed is in
force and one that says failed is not; netopsd meters, and the office bills, exactly what is active.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bss_bridge.office.books import open_books
from netopsd.core.ordered import ENDED, Ordered, OrderState, ServiceLife
from netopsd.store.read import Reader
from simulators.netconf import NetconfSimulator, StandIn, User

ROOT = Path(__file__).parents[2]
NAMES = ("r1", "r2", "r3")
PORTS = ("ge-0/0/1", "ge-0/0/2")
TOKEN = "operator-token-0001"
STEPS = 30  # touches of the fuse in one order that goes well: 28
BACK = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
MAIN = """
[http]
listen = "127.0.0.1:0"
[[http.token]]
name = "crm"
role = "operator"
sha256 = "{token}"
[traps]
enabled = false
[activation]
confirm = "20s"
step = "5s"
verify = "3s"
lock = "5s"
retry = "100ms"
drift_every = "0s"
[[sink]]
kind = "office"
name = "office"
"""
CUSTOMERS = """
[[customer]]
id = "acme"
name = "Acme"
currency = "NOK"
[[customer.account]]
id = "acme-1"
"""
LOGINS = """
[login.read]
user = "reader"
password = "reading"
[login.act]
user = "activate"
password = "writing"
"""


@dataclass(slots=True)
class Verdict:
    """What was found wrong, and what was done."""

    kills: int = 0
    completed: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Verdict.__slots__}


@contextlib.asynccontextmanager
async def devices() -> AsyncIterator[dict[str, NetconfSimulator]]:
    """Three devices that outlive every daemon; the last has no candidate datastore."""
    users = (
        User(name="reader", password="reading"),
        User(name="activate", password="writing", may_edit=True),
    )
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for name in NAMES:
            simulator = NetconfSimulator(StandIn(name, PORTS), users, candidate=name != "r3")
            await simulator.start()
            stack.push_async_callback(simulator.stop)
            found[name] = simulator
        yield found


def write_config(folder: Path, found: dict[str, NetconfSimulator]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tables.toml", "yang.toml"):
        shutil.copy(ROOT / "config" / name, folder)
    shutil.copytree(ROOT / "config" / "services", folder / "services")
    token = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "netopsd.toml").write_text(MAIN.format(token=token))
    (folder / "customers.toml").write_text(CUSTOMERS)
    (folder / "rules.toml").write_text("")
    rows = [LOGINS]
    for name, simulator in found.items():
        rows.append(
            f'[[device]]\nname = "{name}"\naddress = "127.0.0.1"\ninterval = "1s"\ntimeout="200ms"'
            f'\nretries = 0\nnetconf = {{ login = "read", activate = "act", port = '
            f'{simulator.port}, host_keys = ["{simulator.host_key_line}"], '
            'views = ["ietf-interfaces"] }\n'
        )
    (folder / "devices.toml").write_text("\n".join(rows))


class Life:
    """One life of the daemon."""

    def __init__(self, folder: Path, kill_at: int, planted: bool, at_once: bool) -> None:
        self.folder = folder
        self._at_once = at_once  # its steps count from its start, not from its next order
        self.state = folder / "state"
        self._command = [
            sys.executable, "-m", "tests.e2e.activation_child", "--config", str(folder),
            "--kill-at", str(kill_at), *(["--planted"] if planted else []),
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> bool:
        """Start it; False where it was killed before it was ready."""
        (self.state / "running.json").unlink(missing_ok=True)
        if not self._at_once:
            (self.folder / "armed").unlink(missing_ok=True)
        with (self.folder / "daemon.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, stdout=log, stderr=log
            )
        return await self._until((self.state / "running.json").exists, 40)

    async def _until(self, true: Any, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            if self.dead:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:g} s; see {self.folder}/daemon.log")
            await asyncio.sleep(0.02)
        return True

    @property
    def dead(self) -> bool:
        return self._process is None or self._process.returncode is not None

    async def settle(self) -> bool:
        """Wait until no order is open and all is told; False where it was killed first."""
        reader = Reader(f"sqlite:///{self.state}/netopsd.db")

        def settled() -> bool:
            if any(order.state not in ENDED for order in reader.orders()):
                return False
            return not reader.outbox()

        return await self._until(settled, 60)

    async def order(self, body: dict[str, Any]) -> None:
        """Place an order; whether it was heard is for the store to say."""
        (self.folder / "armed").touch()
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
            where = json.loads((self.state / "running.json").read_text())["http"]
            async with httpx.AsyncClient() as client:
                url = f"http://{where}/api/v1/orders"
                answer = await client.post(url, json=body, headers=BACK, timeout=10)
                # 409: an order before it failed, so there is nothing to modify or delete.
                if answer.status_code not in (201, 409):
                    raise AssertionError(answer.text)

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 20)


def orders() -> Iterator[dict[str, Any]]:
    """Yield orders without end: a service is added, changed, added beside another, deleted."""
    for n in itertools.count():
        for action in ("add", "modify", "delete"):
            yield body(f"SO-{n}-{action}", action, f"vpn-{n}", n % 4000 + 1)
        yield body(f"SO-{n}-stay", "add", f"stay-{n}", 4094 - n % 2000)


def body(id: str, action: str, service: str, vlan: int) -> dict[str, Any]:
    rate = 5_000_000 if action == "modify" else 0
    ends = [{"device": d, "port": PORTS[0], "vlan": vlan, "rate": rate} for d in NAMES]
    said: dict[str, Any] = {"id": service}
    if action != "delete":
        said |= {
            "serviceSpecification": {"id": "l2vpn"},
            "billingAccount": {"id": "acme-1"},
            "endpoint": ends,
            "contract": {"target": 99.9, "monthly_fee": "490.00"},
        }
    return {"externalId": id, "serviceOrderItem": [{"action": action, "service": said}]}


def judge(folder: Path, found: dict[str, NetconfSimulator]) -> list[str]:
    """Return everything that does not hold while no order is open."""
    reader = Reader(f"sqlite:///{folder}/state/netopsd.db")
    active = {one.id: one for one in reader.ordered() if one.state is ServiceLife.ACTIVE}
    wrong = [said for device in found.values() for said in judge_device(device, active)]
    for order in reader.orders(limit=100_000):
        for item in reader.order_items(order.id):
            if item.state is not order.state:
                wrong.append(f"{order.id} is {order.state}, its only item {item.state}")
    with open_books(folder / "state" / "office.db") as books:
        billed = {row["id"] for row in books._rows("service", {}, "id") if row["active"]}
    if billed != set(active):
        wrong.append(f"the office bills {sorted(billed)}, active is {sorted(active)}")
    metered = {meter.service for meter in reader.meters()}
    if not metered <= set(active):
        wrong.append(f"metered though not active: {sorted(metered - set(active))}")
    return wrong


def judge_device(device: NetconfSimulator, active: dict[str, Ordered]) -> list[str]:
    """Return what is wrong on one device: it must hold exactly what is active, as ordered."""
    model: Any = device.model
    held = {service.id: service for service in model.services}
    wrong = []
    if set(held) != set(active):
        wrong.append(f"{model.name} holds {sorted(held)}, active is {sorted(active)}")
    for id in set(active) & set(held):
        inputs = dict(active[id].endpoints[0].inputs)
        if (held[id].vlan, held[id].rate_bps) != (int(inputs["vlan"]), int(inputs["rate"])):
            wrong.append(f"{model.name} holds another {id} than was ordered: {held[id]}")
    if device.stores.locks:
        wrong.append(f"{model.name} is locked: {device.stores.locks}")
    if device.commits.pending:
        wrong.append(f"{model.name} has an open confirmed commit")
    return wrong


async def story(
    folder: Path,
    kills: int,
    planted: bool = False,
    told: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Run until the daemon was killed `kills` times, and once more; return what was found."""
    verdict = Verdict()
    began = time.monotonic()
    coming = orders()
    async with devices() as found:
        write_config(folder, found)
        for n in itertools.count():
            last = verdict.kills >= kills
            # 7 and 30 share no divisor: in 30 lives every step has its turn.
            kill_at = 0 if last else n * 7 % STEPS + 1
            life = Life(folder, kill_at, planted, at_once=n % 5 == 4)
            try:
                alive = await life.start() and await life.settle()
                told(f"{time.monotonic() - began:.1f} s: life {n}, kill at {kill_at}: {alive}")
                if alive:
                    verdict.wrong += judge(folder, found)
                    if verdict.wrong or last:
                        break
                    await life.order(next(coming))
                    if await life.settle():  # the order took fewer steps than that
                        continue
                verdict.kills += 1
            finally:
                await life.end()
    states = [
        one.state for one in Reader(f"sqlite:///{folder}/state/netopsd.db").orders(limit=10**5)
    ]
    verdict.completed = states.count(OrderState.COMPLETED)
    verdict.failed = states.count(OrderState.FAILED)
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--kills", type=int, default=100)
    said.add_argument("--planted", action="store_true")
    given = said.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(story(Path(folder), given.kills, given.planted, progress))
        if verdict.wrong:
            print((Path(folder) / "daemon.log").read_text()[-3000:], file=sys.stderr)
    print(json.dumps(verdict.plain(), indent=2))
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
