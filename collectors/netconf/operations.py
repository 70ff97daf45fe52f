"""NETCONF operations: ncclient builds the requests and reads the replies, others carry them.

ncclient's operation classes want a session that sends. `_Desk` is one that only keeps what it was
given, so an operation of ncclient, or of a vendor's device handler, becomes bytes to send, and
the reply is handed back to it to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lxml import etree
from ncclient import NCClientError
from ncclient.capabilities import Capabilities, Capability
from ncclient.manager import OPERATIONS, make_device_handler
from ncclient.operations import MissingCapabilityError
from ncclient.operations.rpc import RPC, RPCReply
from ncclient.transport.session import HelloHandler
from ncclient.xml_ import sub_ele_ns

from collectors.netconf.document import Element, hardened
from collectors.netconf.errors import BadReply, BadRequest, NotOffered, RpcRefused

NMDA = "urn:ietf:params:xml:ns:yang:ietf-netconf-nmda"
DATASTORES = "urn:ietf:params:xml:ns:yang:ietf-datastores"
SUBSCRIBED = "urn:ietf:params:xml:ns:yang:ietf-subscribed-notifications"
BASE_1_1 = "urn:ietf:params:netconf:base:1.1"
_ALSO = (  # ncclient announces only the 1.0 of these
    "urn:ietf:params:netconf:capability:confirmed-commit:1.1",
    "urn:ietf:params:netconf:capability:validate:1.1",
)
MOST_CAPABILITIES = 10_000  # of one hello; large routers announce two thousand modules
MOST_OCTETS = 2 << 20  # of their names
SHARED_OCTETS = 256 << 10  # those of more are not kept for others of their kind
Handler = Any  # ncclient ships no types
Reply = Any
Operation = Any


def device_handler(name: str) -> Handler:
    """Return ncclient's device handler `name` ("default", "junos", "sros" …). Raises BadRequest."""
    try:
        handler = make_device_handler({"name": name})
    except (ImportError, AttributeError):
        raise BadRequest(f"ncclient has no device handler {name!r}") from None
    handler.add_additional_netconf_params({"capabilities": list(_ALSO)})
    return handler


def operation(name: str, handler: Handler) -> Operation:
    """Return the class of operation `name`, the vendor's own where the handler has one."""
    own = {"get_data": GetData, "establish_subscription": EstablishSubscription}
    found = handler.add_additional_operations().get(name) or OPERATIONS.get(name) or own.get(name)
    if found is None:
        raise BadRequest(f"there is no operation {name!r}")
    return found


class GetDataReply(RPCReply):  # type: ignore[misc]
    """A reply to get-data (RFC 8526 section 3.1): `data_ele` is its data element."""

    def _parsing_hook(self, root: Element) -> None:
        self.data_ele = None if self._errors else root.find(f"{{{NMDA}}}data")


class GetData(RPC):  # type: ignore[misc]
    """get-data of RFC 8526, which ncclient does not have."""

    REPLY_CLS = GetDataReply

    def request(self, filter: Element = None, datastore: str = "operational") -> Any:
        """Ask for `datastore`; `filter` as ncclient takes it: an element or ("xpath", …)."""
        node = etree.Element(f"{{{NMDA}}}get-data", nsmap={None: NMDA, "ds": DATASTORES})
        sub_ele_ns(node, "datastore", NMDA).text = f"ds:{datastore}"
        if isinstance(filter, tuple):
            prefixes, path = filter[1]
            select = etree.SubElement(node, f"{{{NMDA}}}xpath-filter", nsmap=prefixes)
            select.text = path
        elif filter is not None:
            sub_ele_ns(node, "subtree-filter", NMDA).extend(filter)
        return self._request(node)


class EstablishSubscription(RPC):  # type: ignore[misc]
    """establish-subscription of RFC 8639 for one stream, which ncclient does not have."""

    def request(self, stream_name: str, start_time: str | None = None) -> Any:
        node = etree.Element(f"{{{SUBSCRIBED}}}establish-subscription", nsmap={None: SUBSCRIBED})
        sub_ele_ns(node, "stream", SUBSCRIBED).text = stream_name
        if start_time is not None:
            sub_ele_ns(node, "replay-start-time", SUBSCRIBED).text = start_time
        return self._request(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request ready to send. `text` is the whole message but for its message-id."""

    before: bytes
    after: bytes
    rpc: Any  # the ncclient operation that reads the reply

    def message(self, message_id: str) -> bytes:
        """Return the message under `message_id`."""
        return b"%b%b%b" % (self.before, message_id.encode("ascii"), self.after)


class _Desk:
    """What an ncclient operation takes for its session: it keeps the message and sends nothing."""

    connected = True
    can_pipeline = True

    def __init__(self, capabilities: Capabilities, session_id: str) -> None:
        self.server_capabilities = capabilities
        self.id = session_id
        self.rpc: Any = None
        self.message = ""

    def get_listener_instance(self, _listener: type) -> _Desk:
        return self

    def register(self, _message_id: str, rpc: Any) -> None:
        self.rpc = rpc

    def send(self, message: str) -> None:
        self.message = message

    def close(self) -> None:
        """Do nothing: the session itself closes when its close-session is answered."""


def build(
    kind: Operation, capabilities: Capabilities, handler: Handler, *args: Any, **options: Any
) -> Request:
    """Return `kind` as a request. Raises NotOffered, BadRequest."""
    desk = _Desk(capabilities, "-")
    try:
        kind(desk, device_handler=handler, async_mode=True).request(*args, **options)
    except MissingCapabilityError as error:
        raise NotOffered(str(error)) from None
    except (NCClientError, etree.LxmlError, ValueError, TypeError, KeyError) as error:
        raise BadRequest(f"{kind.__name__}: {error}") from None
    before, found, after = desk.message.encode().partition(desk.rpc.id.encode())
    if not found:
        raise BadRequest(f"{kind.__name__}: the request has no message-id")
    return Request(before=before, after=after, rpc=desk.rpc)


def read(request: Request, root: Element, handler: Handler) -> Reply:
    """Return ncclient's reply object for the reply `root`. Raises RpcRefused, BadReply."""
    rpc = request.rpc
    reply = rpc.REPLY_CLS(root)
    reply.set_parsing_error_transform(handler.reply_parsing_error_transform(rpc.REPLY_CLS))
    try:
        reply.parse()
    except (NCClientError, etree.LxmlError, ValueError, TypeError, AttributeError) as error:
        raise BadReply(f"a reply that is not one to {type(rpc).__name__}: {error}") from None
    refuse(reply.errors, handler)
    return reply


def refuse(errors: list[Any], handler: Handler) -> None:
    """Raise RpcRefused for `errors` unless all are warnings or exempt for this kind of device."""
    real = [
        error
        for error in errors
        if (error.severity or "error").strip() != "warning"
        and not handler.is_rpc_error_exempt(error.message)
    ]
    if real:
        words = [text.strip()[:1024] for error in real if (text := error.message)]
        raise RpcRefused((real[0].tag or "unknown").strip(), words, real[0].info or "")


def rpc_errors(root: Element) -> list[Any]:
    """Return the rpc-error elements directly under `root`, as ncclient reads them."""
    return [
        RPCReply.ERROR_CLS(child)
        for child in root
        if isinstance(child.tag, str) and etree.QName(child).localname == "rpc-error"
    ]


def hello(handler: Handler) -> bytes:
    """Return our hello, with the capabilities the device's handler announces."""
    text: str = HelloHandler.build(handler.get_capabilities(), handler)
    return text.encode()


def read_hello(root: Element) -> tuple[str, Capabilities]:
    """Return (session-id, capabilities) of a server's hello. Raises BadReply.

    Capabilities that ncclient cannot take apart are left out. More than any device has are refused:
    they are held for as long as the session.
    """
    if etree.QName(root).localname != "hello":
        raise BadReply(f"expected hello, got {root.tag!r:.128}")
    session_id, uris, size = "", [], 0
    for element in root.iter("{*}session-id", "{*}capability"):
        text = (element.text or "").strip()
        if etree.QName(element).localname == "session-id":
            session_id = text[:32]
        elif _readable(text):
            uris.append(text)
            size += len(text)
            if len(uris) > MOST_CAPABILITIES or size > MOST_OCTETS:
                raise BadReply("a hello with more capabilities than a device has")
    if not uris:
        raise BadReply("a hello without capabilities")
    take_apart = _capabilities if size <= SHARED_OCTETS else Capabilities
    return session_id, take_apart(tuple(uris))


@lru_cache(maxsize=64)
def _capabilities(uris: tuple[str, ...]) -> Capabilities:
    """Devices of one kind share theirs: a large hello takes 100 KB taken apart."""
    return Capabilities(uris)


def modules(capabilities: Capabilities) -> dict[str, str]:
    """Return namespace → YANG module as a hello announces them; empty where it does not."""
    found = (capabilities[uri] for uri in capabilities)
    pairs = ((c.namespace_uri, c.parameters.get("module")) for c in found)
    return {namespace: module for namespace, module in pairs if module}


def offers(capabilities: Capabilities, namespace: str) -> bool:
    """Return whether a hello names `namespace`, with whatever parameters."""
    return any(capabilities[uri].namespace_uri == namespace for uri in capabilities)


def _readable(uri: str) -> bool:
    try:
        Capability.from_uri(uri).get_abbreviations()
    except (IndexError, ValueError):
        return False
    return bool(uri) and len(uri) <= 1024


def to_filter(text: str) -> Element:
    """Return the filter element of a subtree filter given as XML text. Raises BadRequest."""
    wrapped = (
        f'<filter xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" type="subtree">{text}</filter>'
    )
    try:
        return etree.fromstring(wrapped.encode(), parser=etree.XMLParser(**hardened()))
    except etree.XMLSyntaxError as error:
        raise BadRequest(f"a subtree filter that is not XML: {error}") from None
