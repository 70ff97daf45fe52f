"""The order that the demo places, as a system for order entry would: by the API (TMF641)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from netopsd.demo_stage import DemoFailed

AFTER_S = 10.0
TOKEN = "demo-token"  # its hash is in config/demo/netopsd.toml


class Purchase:
    """An order that is placed once, when its time has come."""

    def __init__(self, config: Path) -> None:
        self._said: dict[str, Any] = json.loads((config / "order.json").read_text())
        self._placed = False

    def scene(self) -> tuple[float, str]:
        """Return when it is placed, and what it is, in words."""
        service = self._said["serviceOrderItem"][0]["service"]
        end = service["endpoint"][0]
        text = f"an order: {service['name']}, on {end['device']} {end['port']} by NETCONF"
        return AFTER_S, text

    def place(self, api: httpx.Client, past_s: float) -> None:
        """Place it if it is time. Raises DemoFailed where the daemon refuses it."""
        if self._placed or past_s < AFTER_S:
            return
        self._placed = True
        head = {"Authorization": f"Bearer {TOKEN}"}
        try:
            answer = api.post("/api/v1/orders", json=self._said, headers=head)
        except httpx.HTTPError as error:
            raise DemoFailed(f"the order could not be placed: {error}") from error
        if not answer.is_success:
            raise DemoFailed(f"the daemon refuses the order: {answer.text}")
