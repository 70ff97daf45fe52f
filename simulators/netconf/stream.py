"""The event stream of a simulated device, with a replay log (RFC 5277)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lxml import etree

from simulators.netconf.model import PortState
from simulators.netconf.state import AlarmEntry, port_path, stamp
from simulators.netconf.xml import AL, IF, NCN, NOTIFICATION, SVC, Element, add, make

LOG = 10_000


class Stream:
    """Events of one device. Each is numbered by its time, which never repeats.

    With `whole_seconds` it is told in seconds, as many a device does: there it repeats.
    """

    def __init__(self) -> None:
        self.created = datetime.now(UTC)
        self.aged: datetime | None = None
        self.whole_seconds = False
        self._last = self.created
        self._log: deque[tuple[datetime, bytes]] = deque(maxlen=LOG)
        self._listeners: list[Callable[[bytes], None]] = []

    def emit(self, content: Element) -> datetime:
        """Send one event to all subscribers and keep it for replay; return its time."""
        at = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        self._last = at
        message = _envelope(at.replace(microsecond=0) if self.whole_seconds else at, content)
        if len(self._log) == LOG:
            self.aged = self._log[0][0]
        self._log.append((at, message))
        for listener in tuple(self._listeners):
            listener(message)
        return at

    def forget(self, before: datetime) -> None:
        """Lose the log before `before`, as devices with little memory do."""
        while self._log and self._log[0][0] < before:
            self.aged = self._log.popleft()[0]

    def since(self, start: datetime) -> list[bytes]:
        return [message for at, message in self._log if at >= start]

    def listen(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def _envelope(at: datetime, content: Element) -> bytes:
    element = make("notification", ns=NOTIFICATION)
    add(element, "eventTime", stamp(at))
    element.append(content)
    return bytes(etree.tostring(element))


def replay_complete() -> bytes:
    """Return the notification that ends a replay (RFC 5277 section 4)."""
    return _envelope(
        datetime.now(UTC), make("replayComplete", ns="urn:ietf:params:xml:ns:netmod:notification")
    )


def link_event(port: PortState) -> Element:
    """Return an interface state notification in the manner of vendors' linkUp and linkDown."""
    name = "link-up" if port.oper_up else "link-down"
    element = make(name, ns=SVC)
    add(element, "if-name", port.name)
    add(element, "if-index", str(port.index))
    add(element, "oper-status", "up" if port.oper_up else "down")
    return element


def interface_event(port: PortState) -> Element:
    """Return ietf-interfaces state as a notification's content (a state change push)."""
    element = make("interface-state-change", ns=IF)
    add(element, "name", port.name)
    add(element, "admin-status", "up" if port.admin_up else "down")
    add(element, "oper-status", "up" if port.oper_up else "down")
    return element


def alarm_event(entry: AlarmEntry) -> Element:
    """Return ietf-alarms alarm-notification (RFC 8632 section 4.1)."""
    element = make("alarm-notification", ns=AL)
    add(element, "resource", entry.resource)
    add(element, "alarm-type-id", entry.type_id)
    add(element, "alarm-type-qualifier", entry.qualifier)
    add(element, "time", stamp(entry.changed))
    add(element, "perceived-severity", "cleared" if entry.cleared else entry.severity)
    add(element, "alarm-text", entry.text)
    return element


def config_event(username: str, session_id: int, targets: list[str]) -> Element:
    """Return netconf-config-change (RFC 6470 section 2.2)."""
    element = make("netconf-config-change", ns=NCN)
    by = add(element, "changed-by")
    add(by, "username", username)
    add(by, "session-id", str(session_id))
    add(element, "datastore", "running")
    for target in targets:
        edit = add(element, "edit")
        add(edit, "target", target)
        add(edit, "operation", "merge")
    return element


def link_alarm(port: PortState) -> AlarmEntry:
    """Return the alarm a port's state makes."""
    return AlarmEntry(
        resource=port_path(port.name),
        type_id="link-down",
        severity="major",
        text=f"{port.name} is {'up' if port.oper_up else 'down'}",
        cleared=port.oper_up or not port.admin_up,  # one that was shut is as it should be
        changed=datetime.now(UTC),
    )
