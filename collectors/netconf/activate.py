"""Puts services in force by NETCONF: all devices of one service, or none (ports.Activator)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lxml import etree

from collectors.netconf.change import Change, Plan, all_of
from collectors.netconf.errors import BadRequest
from collectors.netconf.settings import ActivationSettings, NetconfTarget
from collectors.netconf.templates import Template
from netopsd.core.ordered import Action, Endpoint, OrderItem, Saved
from netopsd.errors import CannotActivate, NotAllowed
from netopsd.ports import Clock, Difference


class NetconfActivation:
    """One attempt at one order item (ports.Activation)."""

    def __init__(
        self, changes: Sequence[Change], saved: Sequence[Saved], settings: ActivationSettings
    ) -> None:
        self._changes = changes
        self._settings = settings
        known = {one.device: one.config for one in saved}
        for change in changes:
            change.saved = known.get(change.name)

    async def look(self) -> tuple[tuple[Saved, ...], tuple[str, ...]]:
        held = await all_of(*(change.look() for change in self._changes))
        saved = tuple(
            Saved(device=change.name, config=config)
            for change, config in zip(self._changes, held, strict=True)
        )
        remarks = tuple(
            f"{change.name} offers no confirmed commit: what it is told is in force at once, and"
            " is undone by a second edit where another device fails"
            for change in self._changes
            if not change.revocable
        )
        return saved, remarks

    async def prepare(self) -> None:
        """Stage everywhere; commit where a timer undoes it, then where none does; verify all."""
        await all_of(*(change.stage() for change in self._changes))
        revocable = [change for change in self._changes if change.revocable]
        await all_of(*(change.commit() for change in revocable))
        await all_of(*(change.verify() for change in revocable))
        for change in self._changes:
            if not change.revocable:
                await change.commit()
                await change.verify()
        late = [change.name for change in self._changes if not change.timely()]
        if late:
            what = f"half of the rollback time of {self._settings.confirm_s:g} s is gone"
            raise CannotActivate(late[0], what)

    async def confirm(self) -> tuple[str, ...]:
        told = await all_of(*(change.confirm() for change in self._changes))
        return tuple(filter(None, told))

    async def undo(self) -> tuple[str, ...]:
        told = await all_of(*(change.undo() for change in self._changes))
        return tuple(filter(None, told))

    async def close(self) -> None:
        await all_of(*(change.close() for change in self._changes))


class NetconfActivator:
    """Knows the devices that may be changed and the templates (ports.Activator).

    `told` hears (device, step) as devices get on with it, for the log.
    """

    def __init__(
        self,
        settings: ActivationSettings,
        targets: Mapping[str, NetconfTarget],
        templates: Mapping[str, Template],
        clock: Clock,
        told: Callable[[str, str], None] = lambda device, step: None,
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._templates = templates
        self._clock = clock
        self._told = told

    def check(self, item: OrderItem) -> None:
        self._plans(item)

    def open(self, item: OrderItem) -> NetconfActivation:
        return NetconfActivation(self._changes(item), item.saved, self._settings)

    async def compare(self, item: OrderItem) -> Sequence[Difference]:
        try:
            changes = self._changes(item)
        except NotAllowed as error:
            return [Difference(device=device, why=str(error)) for device in item.devices]
        return await all_of(*(self._difference(change) for change in changes))

    @staticmethod
    async def _difference(change: Change) -> Difference:
        try:
            return Difference(device=change.name, lines=await change.differs())
        except CannotActivate as error:
            return Difference(device=change.name, why=error.words)
        finally:
            await change.close()

    def _changes(self, item: OrderItem) -> list[Change]:
        return [Change(plan, self._settings, self._clock, self._told) for plan in self._plans(item)]

    def _plans(self, item: OrderItem) -> list[Plan]:
        """Return the plan of each device. Raises NotAllowed, in words."""
        template = self._templates.get(item.template)
        if template is None:
            known = ", ".join(sorted(self._templates)) or "none"
            raise NotAllowed(f"there is no template {item.template!r}; known: {known}")
        stays = {end.device for end in item.endpoints if item.action is not Action.DELETE}
        ends = sorted((*item.endpoints, *item.leaving), key=lambda end: end.device)
        return [self._plan(item, template, end, end.device in stays) for end in ends]

    def _plan(self, item: OrderItem, template: Template, end: Endpoint, stays: bool) -> Plan:
        target = self._targets.get(end.device)
        if target is None:
            raise NotAllowed(f"device {end.device!r} has no netconf.activate in devices.toml")
        name = item.definition.name if item.definition is not None else item.service
        try:
            values = template.values(dict(end.inputs))
            scope = {**values, "service": item.service, "device": end.device, "name": name}
            here = {**scope, "operation": "replace" if stays else "remove"}
            config = template.config(here)
            gone = template.config({**scope, "operation": "remove"})
            template.owned(here)
            action = item.action.value if stays else "delete"
            checks = tuple(template.checks(action, here))
        except (BadRequest, ValueError, etree.LxmlError) as error:
            raise NotAllowed(f"{item.service} on {end.device}: {error}") from None
        return Plan(
            target=target,
            template=template,
            scope=here,
            config=config,
            gone=gone,
            checks=checks,
            key=f"netopsd {item.order} {item.number} {item.attempt}",
            fresh=template.spec.exclusive and item.action is Action.ADD,
        )
