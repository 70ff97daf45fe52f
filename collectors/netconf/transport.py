"""SSH on the event loop (asyncssh): the wire below a session. No threads, nothing trusted unseen.

Keys: only those pinned for the device. No agent, no key search, no ssh_config, no known_hosts of
the machine, no compression. The device may not send us a second user prompt or a tunnel.

asyncssh takes a tenth of a second to import: who connects imports this module when he does.
"""

from __future__ import annotations

import asyncio

import asyncssh

from collectors.netconf.door import Door
from collectors.netconf.errors import HostKeyChanged, LoginRefused, NotConnected
from collectors.netconf.session import Session

WINDOW = 512 * 1024  # bytes a device may send us ahead of our reading
MAX_PACKET = 32 * 1024
PER_TURN = 64 * 1024  # bytes of one session read as XML in one turn of the loop


class _Channel(asyncssh.SSHClientSession[bytes]):
    """Carries bytes between an SSH channel and a session, a bounded number in one turn of the loop.

    One read of the socket brings up to 256 KiB; reading all of it as XML would keep everybody
    else waiting for over ten milliseconds.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._said = b""
        self._taken = 0  # bytes in this turn
        self._resting = False  # until the next turn
        self._stopped = False  # until the session wants more

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is not None:
            self._said = data[:200]  # standard error: the device's reason, if it ends now
            return
        self._taken += len(data)
        if self._taken >= PER_TURN and not self._resting and self._channel is not None:
            self._resting = True
            self._channel.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._session.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        said = self._said.decode("utf-8", "replace").strip()
        self._session.lost(str(exc) if exc else said)

    def stop(self) -> None:
        """Take no more until `go`."""
        self._stopped = True
        if self._channel is not None:
            self._channel.pause_reading()

    def go(self) -> None:
        self._stopped = False
        if self._channel is not None and not self._resting:
            self._channel.resume_reading()

    def _next_turn(self) -> None:
        self._taken, self._resting = 0, False
        if self._channel is not None and not self._stopped:
            self._channel.resume_reading()


class SshWire:
    """An SSH channel as a wire."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        channel: asyncssh.SSHClientChannel[bytes],
        carrier: _Channel,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._carrier = carrier

    def write(self, data: bytes) -> None:
        try:
            self._channel.write(data)
        except OSError as error:
            raise NotConnected(f"the channel is closed: {error}") from None

    def pause(self) -> None:
        self._carrier.stop()

    def resume(self) -> None:
        self._carrier.go()

    def close(self) -> None:
        """Close at once: what the device still has to say is not waited for."""
        self._connection.abort()


class _Guard(asyncssh.SSHClient):
    """Lets in the pinned host keys and remembers any other that was shown."""

    def __init__(self, pinned: frozenset[str]) -> None:
        self._pinned = pinned
        self.shown = ""

    def validate_host_public_key(
        self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        return key.get_fingerprint() in self._pinned


def fingerprint(host_key: str) -> str:
    """Return the SHA256 fingerprint of a pinned key. Raises ValueError where it is not a key."""
    if host_key.startswith("SHA256:"):
        return host_key.rstrip("=")
    try:
        return asyncssh.import_public_key(host_key).get_fingerprint()
    except asyncssh.KeyImportError as error:
        raise ValueError(f"not a host key or SHA256 fingerprint: {error}") from None


async def connect(door: Door, session: Session) -> None:
    """Open an SSH connection to `door` and greet the device over it.

    Raises HostKeyChanged, LoginRefused, NotConnected, and what `Session.greet` raises. Whatever
    it raises, nothing stays open.
    """
    guard = _Guard(frozenset(map(fingerprint, door.host_keys)))
    try:
        async with asyncio.timeout(door.connect_s):
            connection = await _open(door, guard)
    except asyncssh.HostKeyNotVerifiable:
        raise HostKeyChanged(
            door.device, guard.shown or "a certificate or unreadable key"
        ) from None
    except asyncssh.PermissionDenied as error:
        raise LoginRefused(f"{door.device}: user {door.username}: {error.reason}") from None
    except asyncssh.KeyImportError as error:
        raise LoginRefused(f"{door.device}: our private key cannot be read: {error}") from None
    except TimeoutError:
        raise NotConnected(f"{door.device}: no SSH login within {door.connect_s:g} s") from None
    except (OSError, asyncssh.Error, ValueError) as error:
        raise NotConnected(f"{door.device}: {error}") from None
    try:
        wire = await _subsystem(door, connection, session)
        await session.greet(wire)
    except BaseException:
        connection.abort()
        raise


async def _open(door: Door, guard: _Guard) -> asyncssh.SSHClientConnection:
    key, password = door.private_key, door.password
    own = key and asyncssh.import_private_key(
        key.get_secret_value(), door.passphrase.get_secret_value() if door.passphrase else None
    )
    return await asyncssh.connect(
        door.address,
        door.port,
        client_factory=lambda: guard,
        options=asyncssh.SSHClientConnectionOptions(
            config=None,
            username=door.username,
            password=password.get_secret_value() if password else None,
            client_keys=[own] if own else None,
            preferred_auth=("publickey", "keyboard-interactive", "password"),
            known_hosts=([], [], []),
            server_host_key_algs=_key_algorithms(door),
            x509_trusted_certs=None,
            agent_path=None,
            agent_forwarding=False,
            gss_host=None,
            disable_trivial_auth=True,
            compression_algs=None,
            keepalive_interval=door.keepalive_s,
            login_timeout=door.connect_s,
            connect_timeout=door.connect_s,
        ),
    )


def _key_algorithms(door: Door) -> list[str]:
    """Return the host key algorithms we take, those of the pinned keys first.

    All modern ones are on the list, so that a device whose key changed its type shows the new
    key and is reported, instead of failing to agree on an algorithm.
    """
    modern = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
        *door.legacy,
    ]
    pinned = {key.split()[0] for key in door.host_keys}
    return sorted(modern, key=lambda name: name not in pinned and not _rsa_pinned(name, pinned))


def _rsa_pinned(name: str, pinned: set[str]) -> bool:
    return name.startswith("rsa-") and "ssh-rsa" in pinned


async def _subsystem(
    door: Door, connection: asyncssh.SSHClientConnection, session: Session
) -> SshWire:
    reason = ""
    carrier = _Channel(session)
    try:
        async with asyncio.timeout(door.connect_s):
            for name in door.subsystems:
                try:
                    channel, _ = await connection.create_session(
                        lambda: carrier,
                        subsystem=name,
                        encoding=None,
                        request_pty=False,
                        window=WINDOW,
                        max_pktsize=MAX_PACKET,
                    )
                except asyncssh.ChannelOpenError as error:
                    reason = error.reason
                else:
                    return SshWire(connection, channel, carrier)
    except TimeoutError:
        raise NotConnected(f"{door.device}: no channel within {door.connect_s:g} s") from None
    except (OSError, asyncssh.Error) as error:
        raise NotConnected(f"{door.device}: {error}") from None
    names = ", ".join(door.subsystems)
    raise LoginRefused(f"{door.device}: no SSH subsystem {names}: {reason}")
