"""The MQTT side of the core: telemetry and events of devices, looks of the sites' collectors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netopsd.ports import Clock, Inbox
from netopsd.settings import Settings

if TYPE_CHECKING:  # the client is slow to import, and most daemons have no broker
    from collectors.mqtt.listener import MqttListener
    from collectors.mqtt.sites import SiteIntake


class MqttSide:
    """Hears a broker where one is configured. Another broker takes effect at the next start."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._intake: SiteIntake | None = None
        self._listener: MqttListener | None = None
        mqtt, collect = settings.mqtt, settings.collect
        if mqtt is None:
            return
        if collect.remote:
            from collectors.mqtt.sites import SiteIntake

            self._intake = SiteIntake(
                mqtt, mqtt.root, polled_there(settings), clock, settings.state, collect.heartbeat_s
            )
        if mqtt.topic:
            from collectors.mqtt.listener import MqttListener

            self._listener = MqttListener(mqtt, frozenset(settings.inventory.devices), clock)

    async def run(self, inbox: Inbox) -> None:
        """Hear until cancelled."""
        async with asyncio.TaskGroup() as parts:
            if self._intake is not None:
                parts.create_task(self._intake.listen(inbox), name="sites")
            if self._listener is not None:
                parts.create_task(self._listener.listen(inbox), name="mqtt")
            parts.create_task(asyncio.Event().wait())  # with nothing to do, there is still time

    def follow(self, settings: Settings) -> None:
        """Take a new configuration's devices and topics."""
        if self._intake is not None:
            self._intake.know(polled_there(settings))
        if self._listener is not None and settings.mqtt is not None:
            self._listener.know(settings.mqtt.topic, frozenset(settings.inventory.devices))

    def stats(self) -> dict[str, float]:
        """Return counts since start, and 1 or 0 for whether the broker is there."""
        told: dict[str, float] = {}
        if self._intake is not None:
            told |= {f"sites_{name}": float(n) for name, n in self._intake.stats().items()}
        if self._listener is not None:
            told |= {f"telemetry_{name}": float(n) for name, n in self._listener.stats().items()}
        return told


def polled_there(settings: Settings) -> dict[str, str]:
    """Return device → site of those that the core leaves to the collectors of their sites."""
    remote = settings.collect.remote
    devices = settings.inventory.devices.values()
    return {device.name: device.site for device in devices if device.site in remote}
