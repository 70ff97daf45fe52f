"""A NETCONF server we did not write (PyPI `netconf`), as a process: prints its port and host key.

The package wants DSS keys of paramiko, which paramiko 4 no longer has; nothing here uses one, so an
empty module stands in for the missing one. Its NETCONF is untouched.
"""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import asyncssh
import paramiko

gone = types.ModuleType("paramiko.dsskey")


class DSSKey:
    """A kind of key nobody may have."""

    @classmethod
    def from_private_key_file(cls, _name: str, _password: str | None = None) -> DSSKey:
        raise paramiko.SSHException("DSS keys are gone")


gone.DSSKey = DSSKey  # type: ignore[attr-defined]
sys.modules["paramiko.dsskey"] = gone
paramiko.dsskey = gone

from lxml import etree  # noqa: E402
from netconf import nsmap_add, server, util  # noqa: E402

IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
nsmap_add("if", IF)
CONFIG = f"""<data xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><interfaces xmlns="{IF}">
<interface><name>eth0</name><description>grå漢🙂</description><if-index>7</if-index>
<oper-status>up</oper-status><admin-status>up</admin-status><speed>1000000000</speed>
<statistics><in-octets>18446744073709551615</in-octets><out-octets>5</out-octets></statistics>
</interface></interfaces></data>"""


class Methods(server.NetconfMethods):
    """What this server can do: get, get-config, and refuse."""

    def nc_append_capabilities(self, capabilities: Any) -> None:
        util.subelm(
            capabilities, "capability"
        ).text = f"{IF}?module=ietf-interfaces&revision=2018-02-20"

    def rpc_get(self, session: Any, rpc: Any, filter_or_none: Any) -> Any:
        return etree.fromstring(CONFIG)

    def rpc_get_config(self, session: Any, rpc: Any, source_elm: Any, filter_or_none: Any) -> Any:
        return etree.fromstring(CONFIG)

    def rpc_lock(self, session: Any, rpc: Any, target: Any) -> Any:
        return util.elm("nc:ok")

    def rpc_unlock(self, session: Any, rpc: Any, target: Any) -> Any:
        return util.elm("nc:ok")


def main() -> None:
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / "key"
        name.write_bytes(key.export_private_key("pkcs1-pem"))
        name.chmod(0o600)
        door = server.SSHUserPassController(username="netops", password="reading")
        running = server.NetconfSSHServer(
            server_ctl=door, server_methods=Methods(), port=0, host_key=str(name)
        )
    print(running.port, key.export_public_key().decode().strip(), flush=True)
    sys.stdin.read()
    running.close()


if __name__ == "__main__":
    main()
