"""The NETCONF side of the house: poller, listener and worker of one configuration.

A reload builds it anew: sessions are opened again, subscriptions resume from the last event
committed, so nothing is lost by that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from collectors.netconf.listener import NetconfListener
from collectors.netconf.notification import Meaning
from collectors.netconf.poller import NetconfPoller
from netopsd.core.model import Event, Events
from netopsd.ports import Clock, Inbox
from netopsd.settings import Settings
from netopsd.store.read import Reader
from netopsd.worker import Worker

LOOKED_BACK = 200  # events of a device among which the last one with a time of its own is found


class NetconfSide:
    """Looks at and listens to the devices that speak NETCONF.

    `look` asks for a look, soon; `suspected` says whether a device's host key is believed changed.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        inbox: Inbox,
        look: Callable[[str], None],
        suspected: Callable[[str], bool] = lambda _device: False,
    ) -> None:
        self._clock = clock
        self._inbox = inbox
        self._look = look
        self._suspected = suspected
        self._counted: Counter[str] = Counter()  # by listeners of earlier configurations
        self._changed = asyncio.Event()
        self._build(settings)

    def _build(self, settings: Settings) -> None:
        self._settings = settings
        targets = settings.netconf_devices.targets
        self._plain = [t for t in targets.values() if t.transport == "ncclient"]
        self._worker: Worker | None = None
        if self._plain:
            from collectors.netconf import plain  # and with it paramiko

            self._worker = Worker(plain.HANDLER, self._clock)
        views = {view.name: view for view in settings.views.view}
        self.poller = NetconfPoller(
            settings.netconf,
            targets.values(),
            views,
            self._clock,
            tell=self._tell,
            worker=self._worker,
        )
        self.listener = NetconfListener(
            settings.netconf,
            targets.values(),
            Meaning(events=settings.views.event, resources=settings.views.resource),
            self._clock,
            resume=Resume(settings.store_url),
            look=self._look,
        )
        suspects = [name for name in targets if self._suspected(name)]
        self.poller.suspect(suspects)
        self.listener.suspect(suspects)

    def _tell(self, event: Event) -> bool:
        return self._inbox.offer(Events(at=event.at, items=(event,)))

    def follow(self, settings: Settings) -> None:
        """Take a new configuration."""
        same = all(
            getattr(settings, part) == getattr(self._settings, part)
            for part in ("netconf", "netconf_devices", "views")
        )
        if not same or self._changed.is_set():  # or another one is on its way already
            self._next = settings
            self._changed.set()

    async def run(self) -> None:
        """Listen, and keep the worker alive, until cancelled."""
        while True:
            self._changed.clear()
            await self.poller.start()
            work = asyncio.create_task(self._work(), name="netconf")
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait((work, changed), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                for task in (work, changed):
                    task.cancel()
                await asyncio.gather(work, changed, return_exceptions=True)
                await self.poller.close()
            self._counted += self._counts()
            self._build(self._next)

    def _counts(self) -> Counter[str]:
        heard = self.listener
        return Counter(notifications=heard.heard, repeated=heard.repeated, gaps=heard.gaps)

    def stats(self) -> dict[str, float]:
        """Return levels (sessions for looks, subscriptions) and counts since start."""
        if not self._settings.netconf_devices.targets:
            return {}
        counts = Counter({"notifications": 0, "repeated": 0, "gaps": 0})
        counts.update(self._counted)
        counts.update(self._counts())
        levels = {"sessions": self.poller.sessions, "subscriptions": len(self.listener.hearing)}
        return {name: float(value) for name, value in (levels | dict(counts)).items()}

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._worker is not None:
                from collectors.netconf import plain

                setup = plain.setup(self._plain, self._settings.netconf)
                tasks.create_task(self._worker.run(setup))
            tasks.create_task(self.listener.listen(self._inbox))
            tasks.create_task(asyncio.Event().wait())  # with nothing to do, there is still time


class Resume:
    """Says where a device's notifications go on: the eventTime of its last event committed."""

    def __init__(self, store_url: str) -> None:
        self._reader = Reader(store_url)

    def __call__(self, device: str) -> str:
        for event in self._reader.events(device=device, limit=LOOKED_BACK):
            if "eventTime" in event.values:
                return event.values["eventTime"]
        return ""
