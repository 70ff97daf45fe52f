"""One change on one device: staged, put in force with its rollback timer running, verified, kept.

Where the device offers :candidate and :confirmed-commit:1.1 (RFC 6241 sections 8.3, 8.4) nothing
stays that was not confirmed, whatever becomes of us: the timer of the device undoes it. Where it
does not, the change is made at once and undone by a second edit that puts back what was saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from collectors.netconf import links, operations
from collectors.netconf.document import Element, Vocabulary
from collectors.netconf.errors import NetconfError, RpcRefused
from collectors.netconf.session import Session
from collectors.netconf.settings import ActivationSettings, NetconfSettings, NetconfTarget
from collectors.netconf.templates import Check, Template, differences
from netopsd.errors import CannotActivate
from netopsd.ports import Clock

# What may be otherwise in a moment: somebody else's lock, commit or session.
BUSY = frozenset({"lock-denied", "in-use", "resource-denied"})
LOCK_EVERY_S, VERIFY_EVERY_S = 0.5, 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What one device is to hold, all rendered."""

    target: NetconfTarget
    template: Template
    scope: dict[str, Any]
    config: Element
    gone: Element  # the edit that takes the service away
    checks: tuple[Check, ...]
    key: str  # persist-id: of this attempt and no other
    fresh: bool = False  # there must be nothing there yet

    @property
    def wanted(self) -> list[str]:
        return self.template.expected(self.config)


class Change:
    """A plan being carried out. All methods raise CannotActivate and nothing else."""

    def __init__(
        self,
        plan: Plan,
        settings: ActivationSettings,
        clock: Clock,
        told: Callable[[str, str], None],
    ) -> None:
        self.plan = plan
        self.name = plan.target.name
        self.saved: str | None = None  # what it held before; None: not looked yet
        self._settings = settings
        self._clock = clock
        self._told = told
        self._session: Session | None = None
        self._locked: list[str] = []
        self._committed_at: float | None = None

    # --- forward

    async def look(self) -> str:
        """Return, and keep, what the device holds of the service."""
        async with self._words():
            session = await self._open()
            data = await self._running(session)
            held = self.plan.template.held(data, self.plan.scope)
            if self.plan.fresh and held:
                what = f"there is something in the service's place already: {held[0]}"
                raise CannotActivate(self.name, what)
            self.saved = _inner(data) if held else ""
            return self.saved

    @property
    def revocable(self) -> bool:
        """Whether the device undoes by itself what is not confirmed. Known once it was opened."""
        have = self._capabilities()
        return ":candidate" in have and ":confirmed-commit" in have

    async def stage(self) -> None:
        """Lock, and where there is a candidate edit and validate it: nothing is in force yet."""
        async with self._words():
            session = await self._open()
            await self._lock(session)
            if ":candidate" not in session.capabilities:
                return
            await self._edit(session, self.plan.config)
            if ":validate" in session.capabilities:
                await self._call(session, "validate", source="candidate")
                self._told(self.name, "validated")

    async def commit(self) -> None:
        """Put the change in force; its rollback timer runs where the device has one."""
        async with self._words():
            session = await self._open()
            self._committed_at = self._clock.mono_s()
            if ":candidate" not in session.capabilities:
                await self._edit(session, self.plan.config)
            elif self.revocable:
                timeout = str(max(1, round(self._settings.confirm_s)))
                persist = {"persist": self.plan.key} if self._persists else {}
                await self._call(session, "commit", confirmed=True, timeout=timeout, **persist)
            else:
                await self._call(session, "commit")
            self._told(self.name, "committed")

    async def verify(self) -> None:
        """Wait until the device's operational state is what the template asks for."""
        async with self._words():
            session = await self._open()
            deadline = self._clock.mono_s() + self._settings.verify_s
            for check in self.plan.checks:
                while wrong := await self._wrong(session, check):
                    if self._clock.mono_s() >= deadline:
                        what = f"not so within {self._settings.verify_s:g} s: {wrong}"
                        raise CannotActivate(self.name, what)
                    await self._clock.sleep(VERIFY_EVERY_S)
            self._told(self.name, "verified")

    def timely(self) -> bool:
        """Whether the rollback timer leaves time enough to decide and confirm."""
        since = self._committed_at
        return since is None or self._clock.mono_s() - since < self._settings.confirm_s / 2

    async def confirm(self) -> str:
        """Make the change stay; put it in force again where it was undone. A remark, or ""."""
        async with self._words():
            session = await self._open()
            if self.revocable:
                await self._lock(session, ("candidate",))
                if await self._confirmed(session) and not await self._off(session):
                    self._told(self.name, "confirmed")
                    return ""
            off = await self._off(session)
            if not off:
                return ""
            await self._make(session, self.plan.config)
            if off := await self._off(session):
                raise CannotActivate(self.name, f"it differs after the commit: {off[0]}")
            self._told(self.name, "confirmed")
            return f"{self.name}: the device had undone it meanwhile; it was put in force again"

    # --- back

    async def undo(self) -> str:
        """Make the device hold what was saved, whatever it holds now. A remark, or ""."""
        async with self._words():
            session = await self._open()
            if self.revocable:
                await self._revoke(session)
                session = await self._open()
            if self.saved is None:
                return ""  # never looked: nothing was begun here
            data = await self._running(session)
            if self._as_saved(data):
                self._told(self.name, "undone")
                return ""
            config = self.plan.gone
            if self.saved:
                config = self.plan.template.restoring(self.saved)
            await self._make(session, config)
            if not self._as_saved(await self._running(session)):
                raise CannotActivate(self.name, "it does not hold what it held before", away=True)
            self._told(self.name, "undone")
            return f"{self.name}: undone by a second edit"

    async def close(self) -> None:
        """Unlock and say goodbye, where that is still possible. Raises nothing."""
        session, self._session = self._session, None
        if session is None:
            return
        for target in reversed(self._locked):
            try:
                await self._call(session, "unlock", target=target)
            except NetconfError:
                break  # the session's end unlocks
        self._locked.clear()
        await session.close()
        self._told(self.name, "closed")

    async def differs(self) -> tuple[str, ...]:
        """Return how the device differs from the plan, line by line."""
        async with self._words():
            session = await self._open()
            return tuple(await self._off(session))

    # --- how

    def _words(self) -> _Words:
        return _Words(self.name)

    def _capabilities(self) -> Any:
        return self._session.capabilities if self._session is not None else ()

    @property
    def _persists(self) -> bool:
        return ":confirmed-commit:1.1" in self._capabilities()

    async def _open(self) -> Session:
        """Return the session, a new one where there is none or it has ended."""
        if self._session is not None and self._session.error is None:
            return self._session
        from collectors.netconf import transport

        self._locked.clear()
        target = self.plan.target
        most = self._settings.step_s
        netconf = NetconfSettings(rpc_s=most, connect_s=min(15.0, most), hello_s=min(20.0, most))
        handler = operations.device_handler(target.handler)
        self._session = session = Session(
            target.name,
            handler=handler,
            vocabulary=Vocabulary(netconf.max_names),
            limits=links.limits(netconf),
        )
        await transport.connect(links.door(target, handler, netconf), session)
        self._told(self.name, "connected")
        return session

    async def _call(self, session: Session, name: str, **options: Any) -> Any:
        return await session.call(name, deadline_s=self._settings.step_s, **options)

    async def _lock(self, session: Session, targets: tuple[str, ...] = ()) -> None:
        if not targets:
            candidate = ":candidate" in session.capabilities
            targets = ("candidate", "running") if candidate else ("running",)
        deadline = self._clock.mono_s() + self._settings.lock_s
        for target in targets:
            while target not in self._locked:
                try:
                    await self._call(session, "lock", target=target)
                except RpcRefused as refused:
                    if refused.tag not in BUSY or self._clock.mono_s() >= deadline:
                        raise
                    await self._clock.sleep(LOCK_EVERY_S)
                else:
                    self._locked.append(target)
                    self._told(self.name, f"locked {target}")

    async def _edit(self, session: Session, config: Element) -> None:
        candidate = ":candidate" in session.capabilities
        options: dict[str, Any] = {"target": "candidate" if candidate else "running"}
        if ":validate" in session.capabilities:
            options["test_option"] = "test-then-set"
        if ":rollback-on-error" in session.capabilities:
            options["error_option"] = "rollback-on-error"
        await self._call(session, "edit_config", config=_copy(config), **options)
        self._told(self.name, "edited")

    async def _make(self, session: Session, config: Element) -> None:
        """Put `config` in force for good, at once."""
        await self._lock(session)
        await self._edit(session, config)
        if ":candidate" in session.capabilities:
            await self._call(session, "commit")

    async def _confirmed(self, session: Session) -> bool:
        """Confirm our pending commit; False where none of ours is pending."""
        persist = {"persist_id": self.plan.key} if self._persists else {}
        try:
            await self._call(session, "commit", **persist)
        except RpcRefused as refused:
            if refused.tag in BUSY:
                raise
            return False
        return True

    async def _revoke(self, session: Session) -> None:
        """Take back a pending commit of ours, and what is only staged."""
        if not self._persists:
            await self.close()  # its end undoes what it did not confirm
            return
        try:
            await self._call(session, "cancel_commit", persist_id=self.plan.key)
            self._told(self.name, "cancelled")
        except RpcRefused as refused:
            if refused.tag in BUSY:
                raise
        if self._locked:
            await self._call(session, "discard_changes")

    async def _running(self, session: Session) -> Element:
        owned = self.plan.template.owned(self.plan.scope)
        reply = await self._call(session, "get_config", source="running", filter=owned)
        return reply.data_ele

    def _as_saved(self, data: Element) -> bool:
        template, scope = self.plan.template, self.plan.scope
        before = template.restoring(self.saved or "")
        return template.held(data, scope) == template.held(before, scope)

    async def _off(self, session: Session) -> list[str]:
        held = self.plan.template.held(await self._running(session), self.plan.scope)
        return list(differences(held, self.plan.wanted))

    async def _wrong(self, session: Session, check: Check) -> str:
        """Return what is not as it should be, "" where all is well."""
        if operations.offers(session.capabilities, operations.NMDA):
            reply = await self._call(session, "get_data", filter=_copy(check.filter))
        else:
            reply = await self._call(session, "get", filter=_copy(check.filter))
        data = reply.data_ele
        namespaces = self.plan.template.spec.namespaces or None
        found: Any = []
        if data is not None:
            try:
                found = data.xpath(check.xpath, namespaces=namespaces, **_variables(self.plan))
            except etree.XPathError as error:
                raise CannotActivate(self.name, f"{check.xpath}: {error}") from None
        texts = [_text(one) for one in found] if isinstance(found, list) else [str(found)]
        if (not check.equals and not texts) or (texts and set(texts) == {check.equals}):
            return ""
        return f"{check.xpath} is {', '.join(texts)[:200] or 'not there'}, not {check.equals!r}"


class _Words:
    """Turns what NETCONF raises into CannotActivate, in the device's own words."""

    def __init__(self, device: str) -> None:
        self._device = device

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, RpcRefused):
            words = str(error)
            raise CannotActivate(self._device, words, away=error.tag in BUSY) from error
        if isinstance(error, NetconfError):
            raise CannotActivate(self._device, str(error), away=True) from error


def _variables(plan: Plan) -> dict[str, Any]:
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in plan.scope.items()
    }


def _text(node: Any) -> str:
    return ((node.text or "") if etree.iselement(node) else str(node)).strip()


def _copy(element: Element) -> Element:
    return etree.fromstring(etree.tostring(element))


def _inner(data: Element) -> str:
    """Return the children of `data` as text."""
    return "".join(etree.tostring(child, encoding="unicode", with_tail=False) for child in data)


async def all_of(*steps: Any) -> list[Any]:
    """Do all steps at once, each to its end; raise the first error in their order."""
    done = await asyncio.gather(*steps, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return list(done)
