"""A server-side NETCONF session: framing, hello, dispatch, replies and their faults."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import asyncssh
from lxml import etree

from simulators.netconf import misbehave
from simulators.netconf.faults import FaultKind
from simulators.netconf.rpc import answer
from simulators.netconf.xml import NC, Element, RpcError, add, error_element, make, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.netconf.server import NetconfSimulator, User

EOM = b"]]>]]>"
_CHUNK = re.compile(rb"\n#(?:([1-9][0-9]{0,9})|#)\n")
CAPABILITIES = (
    "urn:ietf:params:netconf:base:1.0",
    "urn:ietf:params:netconf:capability:writable-running:1.0",
    "urn:ietf:params:netconf:capability:rollback-on-error:1.0",
    "urn:ietf:params:netconf:capability:validate:1.1",
    "urn:ietf:params:netconf:capability:xpath:1.0",
    "urn:ietf:params:netconf:capability:notification:1.0",
    "urn:ietf:params:netconf:capability:interleave:1.0",
    "urn:ietf:params:xml:ns:yang:ietf-interfaces?module=ietf-interfaces&revision=2018-02-20",
    "urn:ietf:params:xml:ns:yang:ietf-alarms?module=ietf-alarms&revision=2019-09-11",
    "urn:ietf:params:xml:ns:yang:ietf-hardware?module=ietf-hardware&revision=2018-03-13",
    "urn:ietf:params:xml:ns:yang:ietf-system?module=ietf-system&revision=2014-08-06",
    "urn:ietf:params:xml:ns:yang:ietf-netconf-notifications"
    "?module=ietf-netconf-notifications&revision=2012-02-06",
    "urn:netopsd:yang:service?module=netopsd-service&revision=2026-01-01",
)
CANDIDATE = (
    "urn:ietf:params:netconf:capability:candidate:1.0",
    "urn:ietf:params:netconf:capability:confirmed-commit:1.1",
)
NMDA = "urn:ietf:params:xml:ns:yang:ietf-netconf-nmda?module=ietf-netconf-nmda&revision=2019-01-07"
SUBSCRIBED = (
    "urn:ietf:params:xml:ns:yang:ietf-subscribed-notifications"
    "?module=ietf-subscribed-notifications&revision=2019-09-09"
)


class Session(asyncssh.SSHServerSession[bytes]):
    """One client. Replies are sent at once unless a fault says otherwise."""

    def __init__(self, simulator: NetconfSimulator, user: User) -> None:
        self.simulator = simulator
        self.user = user
        self.id = 0
        self.chunked = False
        self.losing = False  # notifications, for a while
        self.unsubscribe: Callable[[], None] | None = None
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._buffer = b""
        self._chunks: list[bytes] = []
        self._greeted = False
        self._tasks: set[asyncio.Task[None]] = set()

    # --- asyncssh

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "netconf"

    def session_started(self) -> None:
        self.id = self.simulator.enter(self)
        fault = self.simulator.faults.take("hello", *misbehave.HELLO)
        if fault is None:
            self.write(self._hello() + EOM)
        else:
            self._run(misbehave.hello(self, fault, self._hello()))

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._buffer += data
        try:
            while (message := self._next()) is not None:
                self._take(message)
        except (ValueError, etree.XMLSyntaxError):
            self.drop()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.unsubscribe is not None:
            self.unsubscribe()
        for task in self._tasks:
            task.cancel()
        self.simulator.leave(self.id)
        self._channel = None

    # --- what dispatch and faults use

    def write(self, data: bytes) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def send(self, message: bytes) -> None:
        """Send one whole message."""
        self.write(b"\n#%d\n%b\n##\n" % (len(message), message) if self.chunked else message + EOM)

    def notify(self, message: bytes) -> None:
        if not self.losing:
            self.send(message)

    def drop(self) -> None:
        """End the connection without a word."""
        if self._channel is not None:
            self._channel.get_connection().abort()

    def finish(self) -> None:
        if self._channel is not None:
            self._channel.exit(0)

    # --- inside

    def _run(self, work: misbehave.Work) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hello(self) -> bytes:
        simulator = self.simulator
        uris = [*CAPABILITIES]
        uris += ["urn:ietf:params:netconf:base:1.1"] if simulator.base_1_1 else []
        uris += CANDIDATE if simulator.candidate else ()
        uris += [NMDA] if simulator.nmda else []
        uris += [SUBSCRIBED] if simulator.subscribed else []
        hello = make("hello", ns=NC)
        listed = add(hello, "capabilities")
        for uri in uris:
            add(listed, "capability", uri)
        add(hello, "session-id", str(self.id))
        return bytes(etree.tostring(hello))

    def _next(self) -> bytes | None:
        if not self.chunked:
            message, found, rest = self._buffer.partition(EOM)
            if not found:
                return None
            self._buffer = rest
            return message
        while (header := _CHUNK.match(self._buffer)) is not None:
            if header[1] is None:
                self._buffer = self._buffer[header.end() :]
                message, self._chunks = b"".join(self._chunks), []
                return message
            end = header.end() + int(header[1])
            if len(self._buffer) < end:
                return None
            self._chunks.append(self._buffer[header.end() : end])
            self._buffer = self._buffer[end:]
        if len(self._buffer) > 13:
            raise ValueError("not a chunk")
        return None

    def _take(self, message: bytes) -> None:
        root = etree.fromstring(message.strip())
        if name_of(root) == "hello":
            theirs = {(uri.text or "").strip() for uri in root.iter("{*}capability")}
            self.chunked = self.simulator.base_1_1 and "urn:ietf:params:netconf:base:1.1" in theirs
            self._greeted = True
        elif name_of(root) == "rpc" and self._greeted and len(root):
            self._rpc(root)
        else:
            raise ValueError("not an rpc")

    def _rpc(self, root: Element) -> None:
        self.simulator.rpcs += 1
        request = root[0]
        rpc = name_of(request)
        self.simulator.asked[rpc] = self.simulator.asked.get(rpc, 0) + 1
        fault = self.simulator.faults.take(rpc, *misbehave.REPLY)
        after: Callable[[], None] | None = None
        try:
            if fault is not None and fault.kind is FaultKind.RPC_ERROR:
                raise RpcError("operation-failed", "told to fail")
            children, after = answer(self, request)
        except RpcError as error:
            children = [error_element(error)]
        reply = make("rpc-reply", ns=NC)
        for name, value in root.attrib.items():
            reply.set(name, value)
        reply.extend(children)
        text = bytes(etree.tostring(reply))
        if fault is None or fault.kind is FaultKind.RPC_ERROR:
            self.send(text)
        else:
            self._run(misbehave.reply(self, fault, text))
        if after is not None:
            after()
