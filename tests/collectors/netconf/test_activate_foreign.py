"""A server we did not write refuses a change in its own words, and is left as it was."""

from __future__ import annotations

import asyncio

import pytest

from collectors.netconf.activate import NetconfActivator
from collectors.netconf.templates import Template
from netopsd.clock import SystemClock
from netopsd.errors import CannotActivate
from tests.collectors.netconf.orders import QUICK, item, shipped
from tests.collectors.netconf.test_foreign import foreign, target

__all__ = ["foreign"]  # the fixture
pytestmark = pytest.mark.e2e


def test_a_change_it_does_not_support_is_refused_and_nothing_stays_locked(
    foreign: tuple[int, str],
) -> None:
    async def story() -> None:
        steps: list[str] = []
        spec = shipped().spec.model_copy(update={"exclusive": False})
        template = Template(name="l2vpn", spec=spec, text=shipped().text)
        activator = NetconfActivator(
            QUICK,
            {"foreign": target(foreign)},
            {"l2vpn": template},
            SystemClock(),
            lambda device, step: steps.append(step),
        )
        for _ in range(2):  # the second finds the lock of the first gone
            activation = activator.open(item(("foreign",)))
            saved, remarks = await activation.look()
            assert "eth0" in saved[0].config
            assert "no confirmed commit" in remarks[0]
            with pytest.raises(CannotActivate, match="operation-not-supported"):
                await activation.prepare()
            await activation.undo()
            await activation.close()
        assert steps.count("locked running") == 2

    asyncio.run(story())
