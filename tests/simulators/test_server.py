"""The network on real sockets, in this process."""

import asyncio
import json
import socket
import time
import tomllib
from pathlib import Path

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import GET, Message, Pdu, VarBind, decode, encode
from simulators.reading import make
from simulators.server import Server
from tests.simulators.world import HC_IN, OPER, SMALL

STORY = '[[at]]\nafter = "100ms"\ndo = "port_down"\ndevice = "a"\nport = "p2"\n'
BINDS = tuple(VarBind(oid, Tag.NULL, None) for oid in (f"{OPER}.2", f"{HC_IN}.2"))
ASKED = encode(Message(1, b"public", Pdu(GET, 1, 0, 0, BINDS)))


def test_an_event_is_in_force_from_its_own_time_however_late_the_loop_is() -> None:
    """A request that waits behind a busy loop is not answered from before an event that was due."""

    async def late() -> tuple[list[object], list[dict]]:
        lines: list[dict] = []
        said = make(tomllib.loads(SMALL.replace("[network]", "[network]\nport = 0") + STORY))
        server = Server(said, Path(), lambda line: lines.append(json.loads(line)))
        await server.start()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                device = server.network.devices["a"]
                shift = device.port("p2").inward.shift
                sock.sendto(ASKED, (device.said.address, server.port))
                time.sleep(0.2)  # noqa: ASYNC251 (the loop is held on purpose)
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 2000), 5)
                oper, octets = (bind.value for bind in decode(answer).pdu.varbinds)
                return [oper, octets - shift], lines
        finally:
            await server.close()

    (oper, octets), lines = asyncio.run(late())
    at_event = next(
        line["ports"]["p2"][0]
        for line in lines
        if line["what"] == "octets" and line["device"] == "a" and line["reason"] == "event"
    )
    assert (oper, octets) == (2, at_event)
    assert (
        next(line["t"] for line in lines if line["what"] == "port" and line["port"] == "p2") == 0.1
    )
    assert lines[-1]["what"] == "end"
    assert lines[-1]["down_s"]["a"]["p2"] > 0.09
