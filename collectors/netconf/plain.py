"""ncclient with its own SSH, for devices that need it: jobs of a worker process.

ncclient's transport takes two threads a session, wakes them ten times a second, bounds nothing
and decodes text cut in two wrongly; so it runs where it can be limited and ended, one device at a
time. `handler` is the child's side (netopsd.worker), `setup` and `job` what the parent sends.
What comes back is XML text, read by the parent as if the device had sent it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ncclient import NCClientError
from ncclient.manager import Manager
from ncclient.operations import RPCError
from ncclient.operations.errors import TimeoutExpiredError
from ncclient.transport import SSHSession
from ncclient.transport.errors import AuthenticationError, SSHUnknownHostError

from collectors.netconf import operations
from collectors.netconf.document import FEED, Document, Element, Vocabulary
from collectors.netconf.parse import Collector
from collectors.netconf.settings import NetconfSettings, NetconfTarget
from collectors.netconf.views import Plan
from netopsd.core.model import Blind

HANDLER = "collectors.netconf.plain:handler"
Answer = Mapping[str, Any]


def setup(targets: Iterable[NetconfTarget], settings: NetconfSettings) -> dict[str, Any]:
    """Return what a worker for `targets` must know, secrets included."""
    return {
        "targets": {t.name: _door(t) for t in targets if t.transport == "ncclient"},
        "connect_s": settings.connect_s,
        "rpc_s": settings.rpc_s,
    }


def job(device: str, plans: Iterable[Plan]) -> dict[str, Any]:
    """Return one look at `device` as a job."""
    questions = {
        plan.spec.name: {
            "config": plan.spec.operation == "get-config",
            "filter": plan.spec.filter,
            "xpath": plan.spec.xpath,
            "namespaces": plan.spec.namespaces,
        }
        for plan in plans
    }
    return {"device": device, "questions": questions}


def read(text: str, collector: Collector, plan: Plan, vocabulary: Vocabulary) -> Element:
    """Return the root of a reply that a worker brought. Raises NetconfError."""
    document = Document(plan.rows, vocabulary)
    raw = text.encode()
    for start in range(0, len(raw), FEED):
        document.feed(raw[start : start + FEED])
        for element in document.finished():
            collector.take(element)
            document.release(element)
    return document.close()


def handler(said: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Answer]:
    """Return the function that does jobs (runs in the worker process)."""
    doors = {name: {**door, "keys": _key_files(door)} for name, door in said["targets"].items()}

    def look(task: Mapping[str, Any]) -> Answer:
        door = doors[task["device"]]
        try:
            return _look(door, task["questions"], said)
        except SSHUnknownHostError as error:
            return {"hostkey": str(error.fingerprint)}
        except AuthenticationError:
            return {"blind": Blind.REJECTED, "why": f"user {door['username']} was refused"}
        except (TimeoutExpiredError, OSError) as error:
            return {"blind": Blind.UNREACHABLE, "why": str(error)[:500]}
        except NCClientError as error:
            return {"blind": Blind.UNREACHABLE, "why": f"{type(error).__name__}: {error}"[:500]}

    return look


def _look(door: Mapping[str, Any], questions: Mapping[str, Any], said: Mapping[str, Any]) -> Answer:
    device = operations.device_handler(door["handler"])
    session = _connect(door, device, said["connect_s"])
    manager = Manager(session, device, timeout=said["rpc_s"])
    replies: dict[str, str] = {}
    errors: dict[str, str] = {}
    try:
        for view, question in questions.items():
            wanted: Any = operations.to_filter(question["filter"])
            if not question["filter"]:
                wanted = ("xpath", (question["namespaces"], question["xpath"]))
            try:
                if question["config"]:
                    reply = manager.get_config("running", filter=wanted)
                else:
                    reply = manager.get(filter=wanted)
                replies[view] = getattr(reply, "xml", None) or reply.data_xml
            except RPCError as error:
                errors[view] = f"{error.tag}: {error.message}"[:500]
    finally:
        session.close()
    return {"replies": replies, "errors": errors}


def _connect(door: Mapping[str, Any], device: operations.Handler, connect_s: float) -> SSHSession:
    """Return a session to a device that showed one of its pinned keys."""
    pinned = list(door["host_keys"])
    while True:
        session = SSHSession(device)
        options: dict[str, Any] = {}
        device.add_additional_ssh_connect_params(options)
        options |= {
            "port": door["port"],
            "timeout": connect_s,
            "username": door["username"],
            "password": door["password"],
            "key_filename": door["keys"],
            "hostkey_b64": pinned.pop(0),
            "unknown_host_cb": _never,  # some handlers would accept any key
            "allow_agent": False,
            "look_for_keys": False,
            "ssh_config": None,
        }
        try:
            session.connect(door["address"], **options)
        except SSHUnknownHostError:
            session.close()
            if not pinned:
                raise
        except Exception:
            if session.transport:
                session.close()
            raise
        else:
            return session


def _never(_host: str, _fingerprint: str) -> bool:
    return False


def _key_files(door: Mapping[str, Any]) -> list[str]:
    """Return the private key as a file that exists in memory only: ncclient reads no other."""
    if not door["private_key"]:
        return []
    file = os.memfd_create("key")
    os.write(file, door["private_key"].encode())
    return [f"/proc/self/fd/{file}"]


def _door(target: NetconfTarget) -> dict[str, Any]:
    who = target.credentials
    secret = who.password or who.passphrase
    return {
        "address": target.address,
        "port": target.port,
        "handler": target.handler,
        "username": who.user,
        "password": secret.get_secret_value() if secret else None,
        "private_key": who.private_key.get_secret_value() if who.private_key else "",
        "host_keys": [key.split()[1] for key in target.host_keys],
    }
