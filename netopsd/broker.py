"""A connection to an MQTT 5 broker: aiomqtt, with what a careful client needs besides.

Acknowledging by hand, reason codes that are not thrown away, and bounds a lying broker cannot
pass: octets of one packet, messages waiting. One `Link` is one connection; a new one is made for
each. Nothing is kept from one to the next: whoever must not lose anything keeps it himself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from netopsd.broker_settings import BrokerSettings
from netopsd.errors import NetopsdError

PACKET_OCTETS = 1 << 20
NO_SUBSCRIBERS = 0x10  # a success (MQTT 5 section 3.4.2.1): taken, and nobody was there
FAILURE = 0x80


class BrokerGone(NetopsdError):
    """There is no connection to the broker, or no longer; nothing sent meanwhile is known taken."""


class NotTaken(NetopsdError):
    """The broker answered with a reason code of 0x80 or more (MQTT 5 section 2.4)."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: reason code 0x{code:02x}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message. `mid` is what an acknowledgement names; 0 for QoS 0."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    mid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker says in our name when it loses us."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(slots=True)
class LinkStats:
    """Counted over one connection."""

    dropped: int = 0  # more came than may wait
    malformed: int = 0  # topics that are no text


class Link(aiomqtt.Client):
    """One connection: `async with Link(...) as link`. Entering raises BrokerGone or NotTaken.

    `receive_maximum` is how many messages of QoS 1 the broker may send before `ack`; `waiting` how
    many may wait here before those of QoS 0 are dropped and counted. One of QoS 1 always has a
    place: where nobody has acknowledged it, it must not be lost.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str = "",
        will: Will | None = None,
        receive_maximum: int = 64,
        waiting: int = 10_000,
    ) -> None:
        host, port = settings.address
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.ReceiveMaximum = receive_maximum
        connect.MaximumPacketSize = PACKET_OCTETS
        connect.SessionExpiryInterval = 0
        try:
            context = settings.tls_context()
        except OSError as error:  # ssl.SSLError is one
            raise BrokerGone(f"{host}: certificates cannot be used: {error}") from error
        super().__init__(
            host,
            port,
            identifier=client_id or settings.client_id,
            username=settings.username or None,
            password=settings.password.get_secret_value() or None,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=round(settings.keepalive_s),
            timeout=settings.timeout_s,
            properties=connect,
            tls_context=context,
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retain) if will else None,
        )
        self._where = f"{host}:{port}"
        self._client.manual_ack_set(True)
        self._client.connect_timeout = settings.timeout_s
        self._most_waiting = waiting
        self._receive_maximum = receive_maximum
        self._heard: deque[Heard] = deque()
        self._wake = asyncio.Event()
        self._sent: dict[int, asyncio.Future[int]] = {}
        self._packet_most = PACKET_OCTETS  # of ours, as far as the broker says
        self._broken: BrokerGone | None = None
        self._disconnected.add_done_callback(_looked_at)
        self.stats = LinkStats()

    # ---- connecting and leaving

    async def __aenter__(self) -> Self:
        """Connect. Raises BrokerGone, NotTaken."""
        entering = asyncio.ensure_future(super().__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The connecting thread cannot be called back: what it opens must still be closed.
            await asyncio.wait((entering,))
            if not entering.cancelled():
                entering.exception()
            self._drop()
            raise
        except aiomqtt.MqttCodeError as error:
            self._drop()
            code = getattr(error.rc, "value", error.rc)
            if isinstance(code, int) and code >= FAILURE:
                raise NotTaken(f"{self._where} refuses us", code) from error
            raise BrokerGone(f"{self._where}: {error}") from error
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            self._drop()
            raise BrokerGone(f"{self._where}: {error}") from error
        self._disconnected.add_done_callback(_looked_at)  # another future than before, perhaps
        self._disconnected.add_done_callback(lambda _: self._end())
        if self._broken is not None and not self._disconnected.done():
            self._disconnected.set_exception(self._broken)  # aiomqtt forgets what came this early
        if self._disconnected.done():
            self._end()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say good-bye where there is somebody; raises nothing of its own."""
        try:
            await super().__aexit__(kind, error, trace)
        except (aiomqtt.MqttError, BrokerGone):
            pass  # half-open, or lost just now: nobody answered the good-bye
        finally:
            self._drop()

    def cut(self) -> None:
        """Close the connection without a good-bye: the broker will say the will."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._drop()

    def _drop(self) -> None:
        self._client._sock_close()
        if self._misc_task is not None:
            self._misc_task.cancel()
        if self._connected.done():
            _looked_at(self._connected)
        self._end()

    def _end(self) -> None:
        self._wake.set()
        for done in self._sent.values():
            if not done.done():
                done.cancel()
        self._sent.clear()

    @property
    def open(self) -> bool:
        """Whether the connection stands, as far as we know."""
        return not self._disconnected.done()

    def _gone(self) -> BrokerGone:
        return BrokerGone(str(self._broken or f"{self._where}: the connection ended"))

    # ---- hearing

    async def hear(self, filters: Iterable[str], qos: int = 1, *, retained: bool = True) -> None:
        """Subscribe. Raises BrokerGone, or NotTaken where the broker refuses a filter."""
        handling = 0 if retained else 2  # MQTT 5 section 3.8.3.1, Retain Handling
        for one in filters:
            options = SubscribeOptions(
                qos=qos, retainHandling=handling, retainAsPublished=not one.startswith("$share")
            )
            try:
                codes = await self.subscribe(one, options=options)
            except (aiomqtt.MqttError, ValueError) as error:
                raise BrokerGone(f"{self._where}: {error}") from error
            for code in codes:
                value = code if isinstance(code, int) else code.value
                if value >= FAILURE:
                    raise NotTaken(f"{self._where}: subscribing to {one}", value)

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_codes: list[Any],
        properties: Properties | None = None,
    ) -> None:
        if mid in self._pending_subscribes:  # whoever subscribed may have been cancelled meanwhile
            super()._on_subscribe(client, userdata, mid, reason_codes, properties)

    async def take(self, most: int = 1000) -> list[Heard]:
        """Wait for messages and return up to `most`, in order. Raises BrokerGone."""
        while not self._heard:
            if self._disconnected.done():
                raise self._gone()
            self._wake.clear()
            await self._wake.wait()
        return [self._heard.popleft() for _ in range(min(most, len(self._heard)))]

    def ack(self, heard: Iterable[Heard]) -> None:
        """Tell the broker that these are taken. On a lost connection they will be sent again."""
        if self.open:
            for one in heard:
                if one.qos:
                    self._client.ack(one.mid, one.qos)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        del userdata
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.stats.malformed += 1
            self._client.ack(message.mid, message.qos)
            return
        if len(self._heard) >= self._most_waiting + message.qos * self._receive_maximum:
            if message.qos:
                much = BrokerGone(f"{self._where}: more at once than we said we take")
                self._fail(much, client._sock)
            else:
                self.stats.dropped += 1
            return
        self._heard.append(
            Heard(
                topic=topic,
                payload=bytes(message.payload),
                retained=bool(message.retain),
                qos=message.qos,
                mid=message.mid,
            )
        )
        self._wake.set()

    # ---- telling

    async def tell(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Publish with QoS 1 and return the reason code, a success, of the broker's PUBACK.

        Raises NotTaken for any other code, BrokerGone where none came.
        """
        return await self.taken(self.send(topic, payload, retain=retain, properties=properties))

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> asyncio.Future[int]:
        """Begin to publish with QoS 1; `taken` waits for the rest. Raises BrokerGone, NotTaken."""
        if not self.open:
            raise self._gone()
        if len(payload) + len(topic) + 1024 > self._packet_most:
            raise NotTaken(f"{self._where}: {len(payload)} octets are too many", 0x95)
        done: asyncio.Future[int] = self._loop.create_future()
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_QUEUE_SIZE):
            raise BrokerGone(f"{self._where}: {paho.error_string(info.rc)}")
        self._sent[info.mid] = done
        return done

    async def taken(self, done: asyncio.Future[int]) -> int:
        """Return the reason code of what was sent. Raises NotTaken, BrokerGone."""
        timeout = self.timeout
        waited, _ = await asyncio.wait((done,), timeout=timeout)
        if not waited:
            raise BrokerGone(f"{self._where}: nothing was acknowledged for {timeout:g} s")
        if done.cancelled():
            raise self._gone()
        code = done.result()
        if code >= FAILURE:
            raise NotTaken(f"{self._where}: publishing", code)
        return code

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason: Any, properties: Any
    ) -> None:
        del client, userdata, properties
        done = self._sent.pop(mid, None)
        if done is not None and not done.done():
            done.set_result(int(getattr(reason, "value", 0)))

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason: Any,
        properties: Properties | None = None,
    ) -> None:
        most = getattr(properties, "MaximumPacketSize", None)
        if isinstance(most, int):
            self._packet_most = min(most, PACKET_OCTETS)
        super()._on_connect(client, userdata, flags, reason, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason: Any,
        properties: Properties | None = None,
    ) -> None:
        self._broken = self._broken or BrokerGone(f"{self._where}: {reason}")
        super()._on_disconnect(client, userdata, flags, reason, properties)

    # ---- bounds

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Read what comes, on the loop. Called by paho in the connecting thread.

        Unlike aiomqtt's: a packet announced larger than we said we take ends the connection, and a
        socket closed meanwhile is left alone.
        """
        del userdata

        def read() -> None:
            try:
                while True:
                    client.loop_read()
                    if int(client._in_packet["remaining_length"]) > PACKET_OCTETS:
                        raise BrokerGone(f"{self._where}: a packet larger than we take")
                    pending = getattr(client._sock, "pending", None)
                    if pending is None or not pending():
                        break
            except Exception as error:  # noqa: BLE001  (paho parses with no errors of its own)
                self._fail(error, sock)

        def begin() -> None:
            if sock.fileno() < 0:
                return
            # uvloop keeps a handle that broke with its connection: a new one must not inherit it.
            self._unwatch(sock.fileno())
            try:
                self._loop.add_reader(sock.fileno(), read)
            except (RuntimeError, OSError) as error:
                self._fail(error, sock)
            else:
                self._misc_task = self._loop.create_task(self._misc_loop())

        self._loop.call_soon_threadsafe(begin)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Write when the socket takes more, on the loop."""
        del userdata

        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001  (as above)
                self._fail(error, sock)

        def begin() -> None:
            if sock.fileno() < 0:
                return
            try:
                self._loop.add_writer(sock.fileno(), write)
            except (RuntimeError, OSError) as error:  # the connection was just reset
                self._fail(error, sock)

        self._loop.call_soon_threadsafe(begin)

    def _on_socket_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        del client, userdata
        if sock.fileno() >= 0:
            with contextlib.suppress(RuntimeError, OSError):
                self._loop.remove_writer(sock.fileno())

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        del client, userdata
        if sock.fileno() >= 0:
            self._unwatch(sock.fileno())
        if self._misc_task is not None:
            self._loop.call_soon_threadsafe(self._misc_task.cancel)

    def _unwatch(self, descriptor: int) -> None:
        for remove in (self._loop.remove_reader, self._loop.remove_writer):
            with contextlib.suppress(RuntimeError, OSError):
                remove(descriptor)

    def _fail(self, error: Exception, sock: Any) -> None:
        """End the connection for what its other end, or paho, did."""
        if self._broken is None:
            gone = error if isinstance(error, BrokerGone) else None
            self._broken = gone or BrokerGone(f"{self._where}: {error}")
        if not self._disconnected.done():
            self._disconnected.set_exception(self._broken)
        if sock.fileno() >= 0:
            self._unwatch(sock.fileno())


def _looked_at(state: asyncio.Future[None]) -> None:
    """Look at how a state of the connection ended: `Link` remembers why by itself.

    aiomqtt gives one such future up for another when a connection breaks as soon as it stands, and
    nobody asks the one given up.
    """
    if not state.cancelled():
        state.exception()
