"""A Unix socket through which a test makes things happen and asks what is true: JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from simulators.reading import BadScenario, event
from simulators.scenario import Scenario
from simulators.server import Server


class Control:
    """Answers each line with one line: {"ok": true, …} or {"ok": false, "why": …}."""

    def __init__(self, path: Path, server: Server, said: Scenario) -> None:
        self._path = path
        self._server = server
        self._said = said
        self._listening: asyncio.Server | None = None
        self.ended = asyncio.Event()

    async def start(self) -> None:
        self._listening = await asyncio.start_unix_server(self._talk, self._path)

    async def close(self) -> None:
        if self._listening:
            self._listening.close()
        self._path.unlink(missing_ok=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    def answer(self, line: bytes | str) -> dict[str, Any]:
        """Return the answer to one line; every mistake is an answer too."""
        try:
            said = json.loads(line)
            if not isinstance(said, dict):
                raise ValueError("not an object")
            do = said.get("do")
            if do in ("truth", "counts", "devices", "begin", "end"):
                return {"ok": True, **getattr(self, f"_{do}")()}
            self._server.do(event(said, self._said))
            return {"ok": True, "t": self._server.now()}
        except (BadScenario, ValueError, RecursionError) as error:
            return {"ok": False, "why": str(error)}

    def _truth(self) -> dict[str, Any]:
        now = self._server.current()
        devices = {
            device.name: {
                "answers": device.answers,
                "powered": device.powered,
                "reachable": device.reachable,
                "boots": device.boots,
                "ports": {
                    port.name: {
                        "in": port.inward.total(now),
                        "out": port.outward.total(now),
                        "index": port.index,
                        "oper": "up" if port.up else "down",
                        "admin": "up" if port.admin_up else "down",
                    }
                    for port in device.ports
                },
                **self._netconf(device.name),
            }
            for device in self._server.network.devices.values()
        }
        return {"at": self._server.truth.at(now), "t": now, "devices": devices}

    def _netconf(self, device: str) -> dict[str, Any]:
        front = self._server.fronts.get(device)
        return {"netconf": front.truth()} if front is not None else {}

    def _counts(self) -> dict[str, Any]:
        return {"counts": self._server.counts()}

    def _devices(self) -> dict[str, Any]:
        return {"port": self._server.port, "devices": listed(self._server, self._said)}

    def _begin(self) -> dict[str, Any]:
        self._server.begin()
        return {"t": self._server.now()}

    def _end(self) -> dict[str, Any]:
        self.ended.set()
        return {}


def listed(server: Server, said: Scenario) -> list[dict[str, Any]]:
    """Return how to reach each device; no keys."""
    found = []
    for device in server.network.devices.values():
        one: dict[str, Any] = {
            "name": device.name,
            "address": device.said.address,
            "port": server.port,
            "kind": device.said.kind,
            "site": device.said.site,
        }
        one |= (
            {"user": device.said.user} if device.said.user else {"community": device.said.community}
        )
        front = server.fronts.get(device.name)
        if front is not None:
            one["netconf"] = {"port": front.port, "host_key": front.host_key_line}
        found.append(one)
    return found
