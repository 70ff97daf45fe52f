"""How the faults of faults.py look on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from simulators.netconf.faults import Fault, FaultKind

if TYPE_CHECKING:
    from simulators.netconf.session import Session

Work = Coroutine[Any, Any, None]
K = FaultKind
HELLO = tuple(kind for kind in K if kind.startswith("hello-"))
REPLY = (
    K.SILENT, K.HANG, K.DRIP, K.DROP, K.MALFORMED, K.NOT_UTF8, K.HUGE, K.HUGE_CHUNK, K.LONG_NUMBER,
    K.BAD_CHUNK, K.DEEP, K.LONG_TEXT, K.NAMES, K.ENTITY, K.EXTERNAL, K.TINY, K.SPLIT, K.WRONG_ID,
    K.NO_ID, K.TWICE, K.RPC_ERROR,
)  # fmt: skip
LAUGHS = (
    b'<!DOCTYPE lolz [<!ENTITY a "lol">'
    + b"".join(
        b'<!ENTITY %c "%b">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9)
    )
    + b"]>"
)
EXTERNAL = b'<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'


async def hello(session: Session, fault: Fault, text: bytes) -> None:
    """Greet wrongly."""
    kind = fault.kind
    if kind is K.HELLO_HALF:
        session.write(text[: len(text) // 2])
    elif kind is K.HELLO_DRIP:
        await drip(session, text * 100, fault.pause_s)
    elif kind is K.HELLO_DOCTYPE:
        session.write(LAUGHS + text + b"]]>]]>")
    elif kind is K.HELLO_EMPTY:
        session.write(b'<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"/>]]>]]>')
    elif kind is K.HELLO_JUNK:
        session.write(b"Welcome to router\r\n% Ambiguous command\r\n]]>]]>")


async def reply(session: Session, fault: Fault, text: bytes) -> None:
    """Answer wrongly."""
    kind, half = fault.kind, text[: len(text) // 2]
    begun = text[: text.index(b">") + 1]
    if kind is K.SILENT:
        return
    if kind in (K.HANG, K.DROP):
        session.write(b"\n#%d\n%b" % (len(text), half) if session.chunked else half)
        if kind is K.DROP:
            await asyncio.sleep(0.01)
            session.drop()
    elif kind is K.DRIP:
        await drip(session, framed(session, text * 100), fault.pause_s)
    elif kind is K.HUGE:
        await flood(session, begun)
    elif kind is K.SPLIT:
        one = b"".join(b"\n#1\n%c" % byte for byte in text) + b"\n##\n"
        session.write(one if session.chunked else framed(session, text))
    elif kind in RAW:
        session.write(RAW[kind])
    elif kind is K.TWICE:
        session.send(text)
        session.send(text)
    else:
        session.send(spoiled(kind, text, begun))


RAW = {
    K.HUGE_CHUNK: b"\n#4294967295\n" + b"x" * 1000,
    K.LONG_NUMBER: b"\n#" + b"9" * 400 + b"\n",
    K.BAD_CHUNK: b"\n#-5\nhello\n##\n",
    K.TINY: b"\n#1\n \n##\n" * 1500 + b"   ]]>]]>" * 1500,
}


def spoiled(kind: FaultKind, text: bytes, begun: bytes) -> bytes:
    """Return a whole message that is wrong inside."""
    if kind in REPLACED:
        return text.replace(*REPLACED[kind])
    prolog, content = INSIDE[kind]
    return prolog + begun + content() + b"</rpc-reply>"


REPLACED = {
    K.MALFORMED: (b"</rpc-reply>", b"</rpc-repl>"),
    K.WRONG_ID: (b'message-id="', b'message-id="9'),
    K.NO_ID: (b"message-id=", b"message-no="),
}
INSIDE: dict[FaultKind, tuple[bytes, Callable[[], bytes]]] = {
    K.NOT_UTF8: (b"", lambda: b"<data>\xff\xfe\xc3(</data>"),
    K.DEEP: (b"", lambda: b"<a>" * 10_000 + b"</a>" * 10_000),
    K.LONG_TEXT: (b"", lambda: b"<data>" + b"x" * 12_000_000 + b"</data>"),
    K.NAMES: (b"", lambda: b"".join(b"<n%d/>" % number for number in range(200_000))),
    K.ENTITY: (LAUGHS, lambda: b"<data>&j;</data>"),
    K.EXTERNAL: (EXTERNAL, lambda: b"<data>&secret;</data>"),
}


def framed(session: Session, text: bytes) -> bytes:
    return b"\n#%d\n%b\n##\n" % (len(text), text) if session.chunked else text + b"]]>]]>"


async def drip(session: Session, data: bytes, pause_s: float) -> None:
    """Send a byte at a time."""
    for byte in data:
        session.write(bytes((byte,)))
        await asyncio.sleep(pause_s)


async def flood(session: Session, begun: bytes) -> None:
    """Send a reply that does not end, up to 128 MB."""
    block = b"<interface><name>x</name></interface>" * 800
    first = begun + b"<data>"
    session.write(b"\n#%d\n%b" % (len(first), first) if session.chunked else first)
    for _ in range(128 * 1024 * 1024 // len(block)):
        session.write(b"\n#%d\n%b" % (len(block), block) if session.chunked else block)
        await asyncio.sleep(0)
