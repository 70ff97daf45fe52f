"""The sink that books into the embedded office. Delivering twice books once."""

from __future__ import annotations

from bss_bridge.office.booking import Booked
from bss_bridge.office.store import Office
from netopsd.errors import Refused
from netopsd.ports import Message


class OfficeSink:
    """Books each message once, for ever. The office is opened and closed by who made it."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def deliver(self, message: Message) -> None:
        """Return once `message` is booked durably. Raises Refused, TryLater or StoreBroken.

        The same key with another content is Refused; the office has kept it as a dispute.
        """
        if await self._office.take(message) is Booked.DISPUTED:
            raise Refused(f"{message.key} disagrees with what was booked; see the disputes")

    async def close(self) -> None:
        """Do nothing: the office outlives its sink."""
