"""What each operation does on a simulated device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lxml import etree

from simulators.netconf import state
from simulators.netconf.faults import FaultKind
from simulators.netconf.stream import replay_complete
from simulators.netconf.xml import (
    NC,
    NMDA,
    NOTIFICATION,
    SUBSCRIBED,
    Element,
    RpcError,
    add,
    make,
    name_of,
    prune,
)

if TYPE_CHECKING:
    from simulators.netconf.session import Session

Answer = tuple[list[Element], Callable[[], None] | None]
CHANGING = {"edit-config", "commit", "copy-config", "delete-config", "discard-changes",
            "lock", "unlock", "cancel-commit", "kill-session"}  # fmt: skip


def answer(session: Session, request: Element) -> Answer:
    """Do `request`; return the children of the reply and what to do once it is sent.

    Raises RpcError.
    """
    name = name_of(request)
    simulator = session.simulator
    if name in CHANGING:
        simulator.edits.append((session.user.name, name))
        simulator.note("edit", user=session.user.name, rpc=name)
        if not session.user.may_edit:
            raise RpcError("access-denied", f"{session.user.name} may not {name}")
    do = _OPERATIONS.get(name)
    if do is None:
        raise RpcError("operation-not-supported", f"no operation {name}", kind="protocol")
    return do(session, request)


def _ok() -> list[Element]:
    return [make("ok", ns=NC)]


def _all_state(session: Session) -> Element:
    simulator = session.simulator
    data = make("data", ns=NC)
    data.append(state.interfaces(simulator.model))
    data.append(state.alarms(simulator.alarms))
    data.extend(state.system(simulator.model, datetime.now(UTC)))
    data.extend(state.services(simulator.stores.running, simulator.model))
    data.append(_streams(session))
    return data


def _streams(session: Session) -> Element:
    element = make("netconf", ns="urn:ietf:params:xml:ns:netmod:notification")
    stream = add(add(element, "streams"), "stream")
    add(stream, "name", "NETCONF")
    add(stream, "replaySupport", "true")
    add(stream, "replayLogCreationTime", state.stamp(session.simulator.stream.created))
    if session.simulator.stream.aged is not None:
        add(stream, "replayLogAgedTime", state.stamp(session.simulator.stream.aged))
    return element


def _get(session: Session, request: Element) -> Answer:
    return [prune(_all_state(session), request.find(f"{{{NC}}}filter"))], None


def _get_data(session: Session, request: Element) -> Answer:
    if not session.simulator.nmda:
        raise RpcError("operation-not-supported", "no get-data", kind="protocol")
    wanted = request.find(f"{{{NMDA}}}subtree-filter")
    path = request.find(f"{{{NMDA}}}xpath-filter")
    if path is not None:
        wanted = etree.Element("filter", nsmap=path.nsmap, type="xpath", select=path.text or "/")
    pruned = prune(_all_state(session), wanted)
    return [make("data", None, *pruned, ns=NMDA)], None


def _get_config(session: Session, request: Element) -> Answer:
    source = request.find(f"{{{NC}}}source")
    config = session.simulator.stores.get(_only(source))
    data = make("data", ns=NC)
    data.extend(etree.fromstring(etree.tostring(config)))
    return [prune(data, request.find(f"{{{NC}}}filter"))], None


def _only(element: Element | None) -> str:
    if element is None or len(element) == 0:
        raise RpcError("missing-element", "a datastore", kind="protocol")
    return name_of(element[0])


def _locked_by_other(session: Session, target: str) -> None:
    held = session.simulator.faults.take("lock", FaultKind.LOCK_HELD)
    holder = 999 if held else session.simulator.stores.locks.get(target, session.id)
    if holder != session.id:
        words = f"{target} is locked by session {holder}"
        raise RpcError("lock-denied", words, kind="protocol", info=str(holder))


def _lock(session: Session, request: Element) -> Answer:
    target = _only(request.find(f"{{{NC}}}target"))
    stores = session.simulator.stores
    stores.get(target)
    _locked_by_other(session, target)
    if target in stores.locks:
        raise RpcError("lock-denied", "you hold it", kind="protocol", info=str(session.id))
    if target == "candidate" and stores.dirty:
        raise RpcError("lock-denied", "candidate has changes", kind="protocol", info="0")
    stores.locks[target] = session.id
    return _ok(), None


def _unlock(session: Session, request: Element) -> Answer:
    target = _only(request.find(f"{{{NC}}}target"))
    stores = session.simulator.stores
    if stores.locks.get(target) != session.id:
        raise RpcError("operation-failed", f"{target} is not locked by you", kind="protocol")
    del stores.locks[target]
    if target == "candidate":
        stores.discard()
    return _ok(), None


def _edit_config(session: Session, request: Element) -> Answer:
    stores = session.simulator.stores
    target = _only(request.find(f"{{{NC}}}target"))
    if target == "candidate" and not session.simulator.candidate:
        raise RpcError("operation-not-supported", "no candidate", kind="protocol")
    _locked_by_other(session, target)
    config = request.find(f"{{{NC}}}config")
    if config is None:
        raise RpcError("missing-element", "config", kind="protocol")
    default = request.findtext(f"{{{NC}}}default-operation") or "merge"
    edited = stores.edit(target, config, default)
    if request.findtext(f"{{{NC}}}test-option") in ("test-then-set", "test-only"):
        stores.validate(edited)
    if request.findtext(f"{{{NC}}}test-option") != "test-only":
        stores.put(target, edited)
        if target == "running":
            session.simulator.changed("edit-config", session.id)
    return _ok(), None


def _validate(session: Session, request: Element) -> Answer:
    stores = session.simulator.stores
    stores.validate(stores.get(_only(request.find(f"{{{NC}}}source"))))
    return _ok(), None


def _commit(session: Session, request: Element) -> Answer:
    if session.simulator.faults.take("commit", FaultKind.COMMIT_FAILS):
        raise RpcError("operation-failed", "commit failed: no resources on line card 2")
    _locked_by_other(session, "candidate")
    _locked_by_other(session, "running")
    session.simulator.commits.commit(session.id, request)
    return _ok(), None


def _cancel_commit(session: Session, request: Element) -> Answer:
    session.simulator.commits.cancel(session.id, request)
    return _ok(), None


def _discard(session: Session, _request: Element) -> Answer:
    _locked_by_other(session, "candidate")
    session.simulator.stores.discard()
    return _ok(), None


def _kill(session: Session, request: Element) -> Answer:
    wanted = (request.findtext(f"{{{NC}}}session-id") or "").strip()
    other = session.simulator.sessions.get(int(wanted)) if wanted.isdigit() else None
    if other is None or other is session:
        raise RpcError("invalid-value", f"no other session {wanted}", kind="protocol")
    other.drop()
    return _ok(), None


def _close(session: Session, _request: Element) -> Answer:
    return _ok(), session.finish


def _create_subscription(session: Session, request: Element) -> Answer:
    return _subscribe(session, request.findtext(f"{{{NOTIFICATION}}}startTime")), _after(
        session, request.findtext(f"{{{NOTIFICATION}}}startTime")
    )


def _establish(session: Session, request: Element) -> Answer:
    if not session.simulator.subscribed:
        raise RpcError("operation-not-supported", "no establish-subscription", kind="protocol")
    start = request.findtext(f"{{{SUBSCRIBED}}}replay-start-time")
    _subscribe(session, start)
    children = [make("id", str(session.id), ns=SUBSCRIBED)]
    aged = session.simulator.stream.aged
    if start is not None and aged is not None and _time(start) < aged:
        children.append(make("replay-start-time-revision", state.stamp(aged), ns=SUBSCRIBED))
    return children, _after(session, start)


def _subscribe(session: Session, start: str | None) -> list[Element]:
    if session.unsubscribe is not None:
        raise RpcError("operation-failed", "there is a subscription already")
    if start is not None:
        if session.simulator.faults.take("create-subscription", FaultKind.NO_REPLAY):
            raise RpcError("operation-failed", "replay is not supported", kind="protocol")
        if _time(start) > datetime.now(UTC):
            raise RpcError("bad-element", "startTime is in the future", kind="protocol")
    return _ok()


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise RpcError("invalid-value", f"startTime {text}", kind="protocol") from None


def _after(session: Session, start: str | None) -> Callable[[], None]:
    def begin() -> None:
        stream = session.simulator.stream
        session.unsubscribe = stream.listen(session.notify)
        lost = session.simulator.faults.take("create-subscription", FaultKind.LOSE_NOTIFICATIONS)
        if lost is not None:
            session.losing = True
            loop = asyncio.get_running_loop()
            loop.call_later(lost.lasts_s, setattr, session, "losing", False)
        elif start is not None:
            for message in stream.since(_time(start)):
                session.send(message)
            session.send(replay_complete())

    return begin


_OPERATIONS: dict[str, Callable[[Session, Element], Answer]] = {
    "get": _get,
    "get-config": _get_config,
    "get-data": _get_data,
    "edit-config": _edit_config,
    "lock": _lock,
    "unlock": _unlock,
    "validate": _validate,
    "commit": _commit,
    "cancel-commit": _cancel_commit,
    "discard-changes": _discard,
    "kill-session": _kill,
    "close-session": _close,
    "create-subscription": _create_subscription,
    "establish-subscription": _establish,
}
