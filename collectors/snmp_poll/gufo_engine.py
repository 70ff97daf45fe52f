"""SNMPv3 (and v1, v2c where asked for) by gufo-snmp, kept on a short lead.

gufo-snmp never ends a walk on an agent that repeats itself, hides an error-status behind an empty
answer, hands on OIDs nobody asked for, and waits anew after each wrong answer. So every row is
checked for its order and its column, rows, octets and time are bounded, an empty answer is asked
again for less, and every wait has an end of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    KeyExpansion,
    Md5Key,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpDecodeError,
    SnmpError,
    SnmpVersion,
    User,
)
from gufo.snmp.aio import SnmpSession
from gufo.snmp.user import KeyType

from collectors.snmp_poll.engine import Cell, Values, Walked
from collectors.snmp_poll.narrow import EMPTY, Reply, TextPlan, fetch, text_plan
from collectors.snmp_poll.plan import Wanted
from collectors.snmp_poll.settings import Auth, Credentials, Priv, SnmpPollSettings, Target
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.walk import NOT_INCREASING, TOO_MANY, arcs
from netopsd.core.model import Blind
from netopsd.errors import CannotLook
from netopsd.ports import Clock

T = TypeVar("T")
SYS_UPTIME = "1.3.6.1.2.1.1.3.0"
LARGEST_REQUEST = 100  # variables; gufo's own buffer ends soon after
FRESH_S = 120.0  # RFC 3414 section 2.2.3 allows engine times to differ by 150 s
_AUTH = {
    Auth.MD5: Md5Key,
    Auth.SHA_1: Sha1Key,
    Auth.SHA_224: Sha224Key,
    Auth.SHA_256: Sha256Key,
    Auth.SHA_384: Sha384Key,
    Auth.SHA_512: Sha512Key,
}
_PRIV = {Priv.AES_128: Aes128Key, Priv.AES_192: Aes192Key, Priv.AES_256: Aes256Key}


def user(credentials: Credentials) -> User:
    """Return gufo's user. Takes some milliseconds (RFC 3414 section A.2): keep and share it."""
    auth = priv = None
    if credentials.auth and credentials.auth_key:
        kind = _AUTH[credentials.auth]
        auth_key = credentials.auth_key.get_secret_value().encode()
        auth = kind(kind.get_master_key(auth_key), key_type=KeyType.Master)
        if credentials.priv and credentials.priv_key:
            # The privacy passphrase goes through the authentication's hash.
            priv_key = credentials.priv_key.get_secret_value().encode()
            priv = _PRIV[credentials.priv](kind.get_master_key(priv_key), key_type=KeyType.Master)
    expansion = (
        KeyExpansion.Cisco if credentials.key_expansion == "cisco" else KeyExpansion.Blumenthal
    )
    return User(credentials.user, auth_key=auth, priv_key=priv, key_expansion=expansion)


class GufoSession:
    """One device through gufo-snmp: one request in flight. `users` is shared by all sessions."""

    def __init__(
        self,
        target: Target,
        settings: SnmpPollSettings,
        counts: Counts,
        clock: Clock,
        users: dict[Credentials, User],
    ) -> None:
        self._target = target
        self._settings = settings
        self._counts = counts
        self._clock = clock
        self._users = users
        self._timeout_s = target.timeout_s or settings.timeout_s
        self._retries = settings.retries if target.retries is None else target.retries
        self._session: Any = None
        self._refreshed_s = float("-inf")
        self._garbled = False

    def plan(self, wanted: Wanted, most: int) -> TextPlan:
        return text_plan(wanted, min(most, LARGEST_REQUEST))

    def _blind(self, why: Blind, detail: str) -> CannotLook:
        return CannotLook(self._target.name, why, detail)

    def _silent(self) -> CannotLook:
        where = f"{self._target.address} port {self._target.port}"
        self._session = None
        if self._garbled:
            return self._blind(Blind.MALFORMED, f"{where} answers, but nothing we could read")
        return self._blind(Blind.UNREACHABLE, f"no answer from {where}")

    async def _open(self) -> Any:
        """Return the session, made if need be: engine discovered, its time fresh."""
        now = self._clock.mono_s()
        session = self._session
        v3 = self._target.credentials.version == "3"
        if session is None:
            self._garbled = False
            session = await self._make()
            self._refreshed_s = float("-inf")
        if v3 and now - self._refreshed_s > FRESH_S:
            if await self._try(session.refresh) is None:
                if self._session is None and session.get_engine_id():
                    raise self._blind(
                        Blind.REJECTED,
                        f"SNMPv3 user {self._target.credentials.user}: the device can be "
                        "discovered, but does not answer this user with these keys",
                    )
                raise self._silent()
            self._refreshed_s = now
        self._session = session
        return session

    async def _make(self) -> Any:
        target, credentials = self._target, self._target.credentials
        try:
            address = await _numeric(target.address)
            if credentials.version == "3":
                known = self._users.get(credentials)
                if known is None:
                    known = self._users[credentials] = user(credentials)
                return SnmpSession(address, target.port, user=known, timeout=self._timeout_s)
            secret = credentials.community
            return SnmpSession(
                address,
                target.port,
                community=secret.get_secret_value() if secret else "",
                version=SnmpVersion.v1 if credentials.version == "1" else SnmpVersion.v2c,
                timeout=self._timeout_s,
            )
        except (OSError, ValueError, SnmpError) as error:
            raise self._blind(Blind.UNREACHABLE, f"{target.address}: {error}") from error

    async def _try(self, call: Callable[[], Awaitable[T]]) -> tuple[T] | None:
        """Return the outcome of `call` in a tuple, None where no answer came in all its tries."""
        for _ in range(self._retries + 1):
            self._counts.sent += 1
            try:
                async with asyncio.timeout(self._timeout_s):
                    outcome = (await call(),)
            except TimeoutError:
                self._counts.timeouts += 1
            except SnmpAuthError as error:
                self._session = None
                raise self._blind(
                    Blind.REJECTED, f"SNMPv3 user {self._target.credentials.user}: {error}"
                ) from error
            except SnmpDecodeError:
                self._counts.decode_errors += 1
                self._garbled = True
            except OSError as error:
                self._session = None
                raise self._blind(Blind.UNREACHABLE, str(error)) from error
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # Rust's; a BaseException by design
                    raise
                self._counts.decode_errors += 1
                self._garbled = True
            else:
                self._counts.received += 1
                return outcome
        return None

    async def probe(self) -> None:
        """Return where sysUpTime is answered, be it with an error; CannotLook where not."""
        await self._open()
        if await self._ask([SYS_UPTIME]) is None:
            raise self._silent()

    async def get(self, plan: TextPlan) -> Values:
        """Return what could be read. CannotLook where no answer came."""
        await self._open()
        values = await fetch(plan, self._ask, self._clock)
        if values is None:
            raise self._silent()
        self._counts.varbinds += len(plan.oids) - len(values.wrong)
        return values

    async def _ask(self, oids: Sequence[str]) -> Reply | None:
        session = await self._open()

        async def many() -> Reply:
            try:
                told = await session.get_many(oids)
            except SnmpDecodeError:
                raise
            except SnmpAuthError:
                raise
            except (SnmpError, ValueError, RuntimeError, OverflowError):
                return Reply(status=EMPTY)
            if not told:
                return Reply(status=EMPTY)
            return Reply({oid: (0, told[oid]) for oid in oids if oid in told})

        outcome = await self._try(many)
        return outcome[0] if outcome else None

    async def walk(self, columns: Sequence[str], repetitions: int) -> Walked:
        """Return the instances of each column, one column after the other."""
        self._counts.walks += 1
        walked = Walked({}, {}, repetitions)
        found: dict[str, dict[str, Cell]] = {}
        walked.columns = found
        until = asyncio.get_running_loop().time() + self._settings.walk_max_s
        heard = False
        for column in columns:
            rows: dict[str, Cell] = {}
            reason = await self._column(column, walked.repetitions, until, rows)
            if not rows and not reason and walked.repetitions > 1:
                # Nothing there, or too big: gufo does not tell which.
                reason = await self._column(column, 1, until, rows)
                walked.repetitions = max(1, repetitions // 2) if rows else walked.repetitions
            found[column] = rows
            if reason == "timeout" and not heard:
                raise self._silent()
            heard = True
            if reason:
                walked.errors[column] = reason
                self._counts.walk_error(reason)
        return walked

    async def _column(
        self, column: str, repetitions: int, until: float, rows: dict[str, Cell]
    ) -> str:
        """Walk one column into `rows`; return why it ended, "" where by its end."""
        settings = self._settings
        prefix, last, octets = column + ".", arcs(column), 0
        step = self._steps(await self._open(), column, repetitions)
        while True:
            outcome = await self._try(step)
            if outcome is None:
                return "timeout"
            if outcome[0] is None:
                return ""
            oid, value = outcome[0]
            before, last = last, arcs(oid)
            if last <= before:
                return NOT_INCREASING
            if not oid.startswith(prefix):
                return ""
            rows[oid[len(prefix) :]] = (0, value if isinstance(value, int | bytes | str) else None)
            octets += len(oid) + (len(value) if isinstance(value, bytes | str) else 8)
            if len(rows) > settings.walk_varbinds or octets > settings.walk_octets:
                return TOO_MANY
            if asyncio.get_running_loop().time() > until:
                return "the walk took too long"

    def _steps(
        self, session: Any, column: str, repetitions: int
    ) -> Callable[[], Awaitable[tuple[str, object] | None]]:
        """Return what gives the next row at each call, None behind the last."""
        if self._target.credentials.version == "1":
            rows = session.getnext(column)
        else:
            rows = session.getbulk(column, repetitions)

        async def step() -> tuple[str, object] | None:
            try:
                told: tuple[str, object] = await anext(rows)
            except StopAsyncIteration:
                return None
            return told

        return step

    def together(self, plan: TextPlan) -> None:
        """Return None: each device has a session, and is asked, by itself."""

    async def close(self) -> None:
        self._session = None  # its socket goes with it


async def _numeric(address: str) -> str:
    """Return `address`, looked up where it is a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(address, None)
    return str(found[0][4][0])
