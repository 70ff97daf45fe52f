"""Looks at devices over SNMP: the Poller of netopsd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from collectors.snmp_poll import mmsg
from collectors.snmp_poll.device import Device
from collectors.snmp_poll.engine import Session
from collectors.snmp_poll.planned import PlannedSession
from collectors.snmp_poll.settings import Credentials, SnmpPollSettings, TableSpec, Target
from collectors.snmp_poll.stats import Counts, Stats
from collectors.snmp_poll.sweeper import Sweeper
from collectors.snmp_poll.udp import Transport
from netopsd.core.model import Batch, Blind, Sweep
from netopsd.errors import CannotLook
from netopsd.ports import Clock


class SnmpPoller:
    """Polls `targets` (by device name) for the `tables` each of them names."""

    def __init__(
        self,
        settings: SnmpPollSettings,
        tables: Mapping[str, TableSpec],
        targets: Mapping[str, Target],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._tables = dict(tables)
        self._targets = dict(targets)
        self._clock = clock
        self._counts = Counts()
        self._transport = Transport(settings, self._counts)
        self._devices: dict[str, Device] = {}
        self._sweeper: Sweeper | None = None
        self._users: dict[Credentials, Any] = {}  # gufo's: keys are dear to derive
        self._pysnmp: Any = None

    async def start(self) -> None:
        """Open the sockets."""
        await self._transport.start()
        if mmsg.AVAILABLE and self._settings.sweep_devices:
            self._sweeper = Sweeper(
                self._settings,
                self._counts,
                self._clock,
                self._devices.get,
            )
            self._sweeper.start()

    async def poll(self, device: str) -> Batch:
        """Return one look at `device`. Raises CannotLook and nothing else."""
        known = self._devices.get(device)
        if known is None:
            known = self._device(device)
        async with known.lock:
            sweeper = self._sweeper  # closed meanwhile, it is ours no more
            if sweeper is None:
                return await known.look()
            sweeper.before_look(known)
            try:
                return await known.look()
            finally:
                sweeper.after_look(known)

    async def sweep(
        self, devices: tuple[str, ...], under_way: frozenset[str] = frozenset()
    ) -> AsyncIterator[Sweep | str]:
        """Look at `devices` together: sweeps, and names of those to be looked at by `poll`."""
        if self._sweeper is None:
            for name in devices:
                if name not in under_way:
                    yield name
            return
        async for told in self._sweeper.sweep(devices, under_way):
            yield told

    def _device(self, name: str) -> Device:
        target = self._targets.get(name)
        if target is None:
            raise CannotLook(name, Blind.SKIPPED, "no such device is configured")
        session = self._session(target)
        made = Device(target, self._tables, self._settings, session, self._clock)
        self._devices[name] = made
        return made

    def _session(self, target: Target) -> Session:
        engine = target.engine
        if engine in ("auto", "planned"):
            security = None
            if target.credentials.version == "3":
                from collectors.snmp_poll.security import Security

                security = Security(target.credentials)
            return PlannedSession(target, self._settings, self._transport, self._clock, security)
        if engine == "gufo":
            from collectors.snmp_poll.gufo_engine import GufoSession

            return GufoSession(target, self._settings, self._counts, self._clock, self._users)
        from collectors.snmp_poll.pysnmp_engine import PysnmpSession

        if self._pysnmp is None:
            from pysnmp.hlapi.v3arch.asyncio import SnmpEngine

            self._pysnmp = SnmpEngine()
        return PysnmpSession(target, self._settings, self._counts, self._clock, self._pysnmp)

    async def retarget(
        self, targets: Mapping[str, Target], tables: Mapping[str, TableSpec]
    ) -> None:
        """Take a new configuration; devices that did not change keep what was learnt of them."""
        self._targets, self._tables = dict(targets), dict(tables)
        if self._sweeper is not None:
            self._sweeper.forget()
        for name, device in list(self._devices.items()):
            target = targets.get(name)
            wanted = {t: tables[t] for t in target.tables if t in tables} if target else {}
            if target != device.target or wanted != device.tables:
                del self._devices[name]
                await device.session.close()

    def stats(self) -> Stats:
        """Return what was counted since start."""
        out, waiting = self._transport.in_flight, self._transport.waiting
        if self._sweeper is not None:
            out, waiting = out + self._sweeper.in_flight, waiting + self._sweeper.waiting
        return self._counts.snapshot(out, waiting)

    async def close(self) -> None:
        """Close every session and the sockets."""
        for device in self._devices.values():
            await device.session.close()
        self._devices.clear()
        self._users.clear()
        if self._pysnmp is not None:
            self._pysnmp.close_dispatcher()
            self._pysnmp = None
        if self._sweeper is not None:
            self._sweeper.close()
            self._sweeper = None
        await self._transport.close()
