"""One simulated NETCONF device: an SSH server, its datastores, its alarms and its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncssh

from simulators.netconf.commit import Commits
from simulators.netconf.datastore import Datastores
from simulators.netconf.faults import Faults
from simulators.netconf.model import DeviceModel, PortState
from simulators.netconf.session import Session
from simulators.netconf.state import AlarmEntry, AlarmList, stamp
from simulators.netconf.stream import (
    Stream,
    alarm_event,
    config_event,
    interface_event,
    link_alarm,
    link_event,
)
from simulators.netconf.xml import Element, name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who may log in, and whether it may change anything."""

    name: str
    password: str = ""
    public_key: str = ""
    may_edit: bool = False


class _Door(asyncssh.SSHServer):
    """One SSH connection."""

    def __init__(self, simulator: NetconfSimulator) -> None:
        self._simulator = simulator
        self._user = ""

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        user = self._simulator.users.get(username)
        return user is not None and user.password != "" and user.password == password

    def public_key_auth_supported(self) -> bool:
        return any(user.public_key for user in self._simulator.users.values())

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        user = self._simulator.users.get(username)
        if user is None or not user.public_key:
            return False
        return (
            key.get_fingerprint() == asyncssh.import_public_key(user.public_key).get_fingerprint()
        )

    def session_requested(self) -> Session:
        return Session(self._simulator, self._simulator.users[self._user])


class NetconfSimulator:
    """A NETCONF server in front of a device model. `start`, then `port`; `stop` at the end."""

    def __init__(
        self,
        model: DeviceModel,
        users: tuple[User, ...],
        *,
        host_key: asyncssh.SSHKey | None = None,
        base_1_1: bool = True,
        candidate: bool = True,
    ) -> None:
        self.model = model
        self.users = {user.name: user for user in users}
        self.host_key = host_key or asyncssh.generate_private_key("ssh-ed25519")
        self.base_1_1 = base_1_1
        self.candidate = candidate
        self.nmda = True
        self.subscribed = False  # RFC 8639
        self.faults = Faults()
        self.alarms = AlarmList()
        self.stream = Stream()
        self.stores = Datastores(model)
        self.commits = Commits(self.stores, self.changed)
        self.sessions: dict[int, Session] = {}
        self.rpcs = 0
        self.asked: dict[str, int] = {}  # operation → times
        self.edits: list[tuple[str, str]] = []  # (user, operation) of every attempt to change
        self.changes: list[str] = []  # why running changed, in order
        self.note: Callable[..., object] = lambda what, **more: None  # hears what happens
        self._server: asyncssh.SSHAcceptor | None = None
        self._unwatch: Callable[[], None] | None = None
        self._next_id = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.get_port()

    @property
    def host_key_line(self) -> str:
        """The public key as one pins it."""
        return self.host_key.export_public_key("openssh").decode().strip()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 takes a free one."""
        if self._unwatch is None:
            self.alarms.tell = self._alarm_changed
            self._unwatch = self.model.watch(self._port_changed)
        self._server = await asyncssh.listen(
            host,
            port,
            server_factory=lambda: _Door(self),
            server_host_keys=[self.host_key],
            encoding=None,
            backlog=1024,
            compression_algs=None,
        )

    async def stop(self) -> None:
        """Close every session and the socket, and hear no more of the device."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self.commits.close()
        await self.shut()

    async def shut(self) -> None:
        """Close every session and the socket; what happens is still written down for replay."""
        self.cut_sessions()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def cut_sessions(self) -> None:
        """Drop every session, as a device that restarts its SSH does."""
        for session in tuple(self.sessions.values()):
            session.drop()

    def enter(self, session: Session) -> int:
        """Give a session its id."""
        self._next_id += 1
        self.sessions[self._next_id] = session
        return self._next_id

    def leave(self, session_id: int) -> None:
        """Forget a session: its locks go, its unconfirmed commit is rolled back."""
        self.sessions.pop(session_id, None)
        for name, holder in tuple(self.stores.locks.items()):
            if holder == session_id:
                del self.stores.locks[name]
                if name == "candidate":  # RFC 6241 section 8.3.5.2
                    self.stores.discard()
        self.commits.session_ended(session_id)

    def log_starts(self) -> datetime:
        return self.stream.aged or self.stream.created

    def _port_changed(self, port: PortState) -> None:
        self._emit(link_event(port))
        self._emit(interface_event(port))
        self.alarms.put(link_alarm(port))

    def _alarm_changed(self, entry: AlarmEntry) -> None:
        self._emit(alarm_event(entry))

    def changed(self, why: str, session_id: int = 0) -> None:
        """Tell everybody that running changed."""
        self.changes.append(why)
        session = self.sessions.get(session_id)
        user = session.user.name if session else "server"
        self.note("running", why=why, user=user)
        self._emit(config_event(user, session_id, ["/"]))

    def _emit(self, content: Element) -> None:
        at = self.stream.emit(content)
        self.note("notification", name=name_of(content), time=stamp(at))
