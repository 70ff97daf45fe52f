"""Commits of a simulated device: plain, confirmed, cancelled, rolled back by a timer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from simulators.netconf.datastore import Datastores
from simulators.netconf.xml import NC, Element, RpcError

CONFIRM_S = 600.0  # RFC 6241 section 8.4.1


class Commits:
    """Commits candidate to running, with confirmation (RFC 6241 section 8.4)."""

    def __init__(self, stores: Datastores, told: Callable[[str, int], None]) -> None:
        self._stores = stores
        self._told = told  # (why, session-id) whenever running changed
        self._before: Element | None = None
        self._owner = 0
        self._persist = ""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> bool:
        """Whether a confirmed commit waits for its confirmation."""
        return self._before is not None

    def commit(self, session_id: int, request: Element) -> None:
        """Do `commit`. Raises RpcError."""
        persist_id = (request.findtext(f"{{{NC}}}persist-id") or "").strip()
        if self.pending and persist_id != self._persist:
            raise RpcError("invalid-value", "persist-id does not fit", kind="protocol")
        if self.pending and not self._persist and session_id != self._owner:
            raise RpcError("in-use", "another session's confirmed commit is pending")
        if not self.pending and persist_id:
            raise RpcError("invalid-value", "no confirmed commit is pending", kind="protocol")
        confirmed = request.find(f"{{{NC}}}confirmed") is not None
        before = copy.deepcopy(self._stores.running) if self._before is None else self._before
        self._stores.enforce(self._stores.candidate)
        self._told("commit", session_id)
        if confirmed:
            self._before, self._owner = before, session_id
            self._persist = (request.findtext(f"{{{NC}}}persist") or self._persist).strip()
            self._start(request.findtext(f"{{{NC}}}confirm-timeout"))
        else:
            self._settle()

    def cancel(self, session_id: int, request: Element) -> None:
        """Do `cancel-commit`. Raises RpcError."""
        persist_id = (request.findtext(f"{{{NC}}}persist-id") or "").strip()
        if not self.pending:
            raise RpcError("operation-failed", "no confirmed commit is pending")
        if persist_id != self._persist:
            raise RpcError("invalid-value", "persist-id does not fit", kind="protocol")
        self._roll_back("cancel-commit", session_id)

    def session_ended(self, session_id: int) -> None:
        """Roll back what a session left unconfirmed, unless it persists."""
        if self.pending and not self._persist and session_id == self._owner:
            self._roll_back("session ended", session_id)

    def close(self) -> None:
        """Stop the timer; what is pending stays as it is."""
        self._settle()

    def _start(self, timeout: str | None) -> None:
        try:
            seconds = float(timeout) if timeout else CONFIRM_S
        except ValueError:
            raise RpcError("invalid-value", f"confirm-timeout {timeout}", kind="protocol") from None
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._roll_back, "confirm-timeout", self._owner)

    def _roll_back(self, why: str, session_id: int) -> None:
        before = self._before
        self._settle()
        if before is not None:
            self._stores.enforce(before)
            self._stores.discard()
            self._told(why, session_id)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._before, self._owner, self._persist = None, None, 0, ""
