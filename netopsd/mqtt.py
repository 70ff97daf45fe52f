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
    """Hears a broker where one is configured.

    Another broker, and other sites polled there, take effect at the next start: who polls a site
    and who takes its looks must change together. Topics follow, where any are heard.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._intake: SiteIntake | None = None
        self._listener: MqttListener | None = None
        mqtt, collect = settings.mqtt, settings.collect
        self._remote = frozenset(collect.remote)
        if mqtt is None:
            return
        if collect.remote:
            from collectors.mqtt.sites import SiteIntake

            self._intake = SiteIntake(
                mqtt,
                mqtt.root,
                self.polled_there(settings),
                clock,
                settings.state,
                collect.heartbeat_s,
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
            self._intake.know(self.polled_there(settings))
        if self._listener is not None and settings.mqtt is not None:
            self._listener.know(settings.mqtt.topic, frozenset(settings.inventory.devices))

    def waits(self, before: Settings, after: Settings) -> bool:
        """Whether something in [mqtt] changed that this start does not follow."""
        topics = [said.mqtt.topic if said.mqtt else () for said in (before, after)]
        brokers = [
            said.mqtt and said.mqtt.model_copy(update={"topic": ()}) for said in (before, after)
        ]
        return brokers[0] != brokers[1] or (self._listener is None and topics[0] != topics[1])

    def leaves(self, site: str) -> bool:
        """Whether the devices of a site are left to its collectors."""
        return site in self._remote

    def polled_there(self, settings: Settings) -> dict[str, str]:
        """Return device → site of those that the core leaves to the collectors of their sites."""
        devices = settings.inventory.devices.values()
        return {device.name: device.site for device in devices if self.leaves(device.site)}

    def stats(self) -> dict[str, float]:
        """Return counts since start."""
        told: dict[str, float] = {}
        if self._intake is not None:
            told |= {f"sites_{name}": float(n) for name, n in self._intake.stats().items()}
        if self._listener is not None:
            told |= {f"telemetry_{name}": float(n) for name, n in self._listener.stats().items()}
        return told
