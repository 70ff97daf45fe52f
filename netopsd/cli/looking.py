"""Looking at devices by hand: poll one that is configured, discover one that is not yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from netopsd.cli.options import Config, Json, Overrides, folder_of

if TYPE_CHECKING:
    from collectors.snmp_poll.settings import SnmpPollSettings, TableSpec, Target
    from netopsd.cli import discovery
    from netopsd.core.model import Batch
    from netopsd.errors import CannotLook
    from netopsd.ports import Clock, Poller
    from netopsd.settings import Settings

PANEL = "Looking at devices"


def add(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(rich_help_panel=PANEL)(discover)
    app.command(rich_help_panel=PANEL)(poll)


def poll(
    device: Annotated[str, typer.Argument(help="Its name in devices.toml.", metavar="DEVICE")],
    table: Annotated[
        list[str] | None, typer.Option(help="Only this table of tables.toml. Repeatable.")
    ] = None,
    twice: Annotated[bool, typer.Option("--twice", help="Look again, and show rates.")] = False,
    every: Annotated[str, typer.Option(help="Time between the two looks.")] = "5s",
    netconf: Annotated[
        bool, typer.Option("--netconf", help="By NETCONF, where SNMP is there too.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Look at one device now and show what it says, as a table.

    Example: netopsd poll osl-gw1 --table if --twice
    """
    from netopsd.cli import show
    from netopsd.cli import table as sheets
    from netopsd.cli.daemon import seconds
    from netopsd.errors import CannotLook
    from netopsd.settings import load
    from netopsd.settings.problems import nearest

    settings = load(folder_of(config), overrides or ())
    spoken = settings.netconf_devices.targets.get(device)
    target = settings.targets.get(device)
    if netconf:
        target = None
    if target is None and spoken is None:
        near = nearest(device, [*settings.targets, *settings.netconf_devices.targets])
        show.warn(
            f"no device {device!r} is configured" + (f"; did you mean {near}?" if near else "")
        )
        raise typer.Exit(1)
    pause = seconds(every, "--every") if twice else None
    if target is not None:
        target = target.model_copy(update={"tables": _chosen(target.tables, table or ())})
        looks = asyncio.run(_look(settings.snmp, settings.tables, [target], pause))[0]
    else:
        looks = asyncio.run(_look_by_netconf(settings, device, table or (), pause))
    where = target or spoken
    for look in looks:
        if isinstance(look, CannotLook):
            place = f"{where.address} port {where.port}" if where is not None else "?"
            show.warn(f"{device} at {place}: {look.detail} ({look.why})")
            raise typer.Exit(1)
    batches = [look for look in looks if not isinstance(look, CannotLook)]
    if as_json:
        show.as_json(sheets.plain(batches))
    else:
        sheets.print_looks(batches)


def _chosen(tables: Sequence[str], only: Sequence[str]) -> tuple[str, ...]:
    for name in only:
        if name not in tables:
            known = ", ".join(tables)
            raise typer.BadParameter(f"{name!r} is none of: {known}", param_hint="--table")
    return tuple(only) or tuple(tables)


async def _look(
    settings: SnmpPollSettings,
    tables: Sequence[TableSpec],
    targets: Sequence[Target],
    pause_s: float | None = None,
) -> list[list[Batch | CannotLook]]:
    """Return one look at each target, or two with a pause; what was not seen is its reason."""
    from collectors.snmp_poll import SnmpPoller
    from netopsd.clock import SystemClock

    clock = SystemClock()
    specs = {table.name: table for table in tables}
    poller = SnmpPoller(settings, specs, {target.name: target for target in targets}, clock)

    await poller.start()
    try:
        each = (_looks_of(poller, target.name, clock, pause_s) for target in targets)
        return list(await asyncio.gather(*each))
    finally:
        await poller.close()


async def _look_by_netconf(
    settings: Settings, device: str, only: Sequence[str], pause_s: float | None
) -> list[Batch | CannotLook]:
    """Return one look at a device by NETCONF, or two with a pause."""
    from collectors.netconf import plain
    from collectors.netconf.poller import NetconfPoller
    from netopsd.clock import SystemClock
    from netopsd.errors import CannotLook
    from netopsd.worker import Worker

    views = {view.name: view for view in settings.views.view}
    target = settings.netconf_devices.targets[device]
    _chosen([t.name for view in target.views for t in views[view].table], only)
    clock = SystemClock()
    worker = Worker(plain.HANDLER, clock) if target.transport == "ncclient" else None
    poller = NetconfPoller(settings.netconf, [target], views, clock, worker=worker)
    setup = plain.setup([target], settings.netconf)
    working = asyncio.create_task(worker.run(setup)) if worker is not None else None
    try:
        looks = await _looks_of(poller, device, clock, pause_s)
    finally:
        await poller.close()
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    if not only:
        return looks
    return [
        replace(look, tables=tuple(t for t in look.tables if t.layout.table in only))
        if not isinstance(look, CannotLook)
        else look
        for look in looks
    ]


async def _looks_of(
    poller: Poller, name: str, clock: Clock, pause_s: float | None
) -> list[Batch | CannotLook]:
    """Return one look, or two with a pause, as far as they succeed."""
    from netopsd.errors import CannotLook

    looks: list[Batch | CannotLook] = []
    try:
        looks.append(await poller.poll(name))
        if pause_s is not None:
            await clock.sleep(pause_s)
            looks.append(await poller.poll(name))
    except CannotLook as error:
        looks.append(error)
    return looks


def discover(
    addresses: Annotated[
        list[str], typer.Argument(help="IP addresses or host names.", metavar="ADDRESS")
    ],
    credentials: Annotated[
        list[str] | None,
        typer.Option(help=r"Try only these \[credentials.NAME]; else all. Repeatable."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="SNMP port.")] = 161,
    write: Annotated[bool, typer.Option("--write", help="Append to devices.toml.")] = False,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Look at devices once and print the TOML to monitor them.

    Each address is tried with the credentials of devices.toml; a configured one is left alone.

    With --write the result is appended; the rest of the file stays as it is.

    Example: netopsd discover 192.0.2.1 192.0.2.2 --credentials readonly --write
    """
    from netopsd.cli import discovery, show
    from netopsd.settings import load
    from netopsd.settings.words import address as checked

    for address in addresses:
        try:
            checked(address)
        except ValueError as error:
            raise typer.BadParameter(f"{address!r} is {error}", param_hint="ADDRESSES") from None
    settings = load(folder_of(config), overrides or ())
    known = {(target.address, target.port): name for name, target in settings.targets.items()}
    new = [address for address in dict.fromkeys(addresses) if (address, port) not in known]
    for address in addresses:
        if (address, port) in known:
            show.warn(f"{address} is device {known[address, port]} already")
    names = discovery.credentials_to_try(settings, credentials or ())
    seen = [_discover_one(settings, address, port, names) for address in new]
    entries = discovery.entries([one for one in seen if one is not None], settings)
    if as_json:
        show.as_json([discovery.as_plain(entry) for entry in entries])
    else:
        print("\n".join(discovery.as_toml(entry) for entry in entries), end="")
    if write and entries:
        path = discovery.write(settings, entries, tuple(overrides or ()))
        many = "1 device" if len(entries) == 1 else f"{len(entries)} devices"
        show.warn(f"{many} appended to {path}; a running daemon takes it up at SIGHUP")
    raise typer.Exit(1 if None in seen else 0)


def _discover_one(
    settings: Settings, address: str, port: int, names: Sequence[str]
) -> discovery.Seen | None:
    """Return what the first credentials that work show; None, and why, where none do."""
    from collectors.snmp_poll.settings import Target
    from netopsd.cli import discovery, show
    from netopsd.errors import CannotLook

    tables = tuple(t.name for t in settings.tables if t.name in discovery.ENOUGH)
    targets = [
        Target(
            name=f"{address} with {name}",
            address=address,
            port=port,
            credentials=settings.credentials[name],
            tables=tables,
        )
        for name in names
    ]
    looks = asyncio.run(_look(settings.snmp, settings.tables, targets))
    reasons = []
    for name, (look, *_) in zip(names, looks, strict=True):
        if not isinstance(look, CannotLook):
            return discovery.Seen(address=address, port=port, credentials=name, look=look)
        reasons.append(f"{name}: {look.detail}")
    show.warn(f"{address} port {port} did not answer ({'; '.join(reasons)})")
    return None
