"""Every way a NETCONF session can fail, and what each one says about the device."""

from __future__ import annotations

from collections.abc import Sequence

from netopsd.core.model import Blind
from netopsd.errors import NetopsdError


class NetconfError(NetopsdError):
    """Base of all NETCONF errors. `blind` is what a look that met it may report."""

    blind = Blind.MALFORMED


class BadFrame(NetconfError):
    """The bytes do not follow the framing of RFC 6242."""


class TooBig(NetconfError):
    """A chunk, message, tree or vocabulary is larger than we are willing to hold."""


class BadMessage(NetconfError):
    """A message is not the well-formed UTF-8 XML that RFC 6241 section 3 asks for."""


class DoctypeRefused(BadMessage):
    """A message carries a document type declaration, which RFC 6241 section 3.1 forbids."""


class BadReply(NetconfError):
    """A well-formed message that answers nothing we asked, or not in the way the RFC says."""


class HostKeyChanged(NetconfError):
    """The device showed a key that is not pinned: another device, or somebody in between."""

    blind = Blind.REJECTED

    def __init__(self, device: str, shown: str) -> None:
        super().__init__(f"{device} showed host key {shown}, which is not pinned")
        self.device = device
        self.shown = shown


class LoginRefused(NetconfError):
    """The device refused the user, its key or its password, or offers no NETCONF subsystem."""

    blind = Blind.REJECTED


class NotConnected(NetconfError):
    """There is no connection, or it ended before the answer was whole."""

    blind = Blind.UNREACHABLE


class DeadlinePassed(NetconfError):
    """The device did not finish its answer in time."""

    blind = Blind.UNREACHABLE


class NotOffered(NetconfError):
    """The device does not offer what the operation needs (a capability, a datastore, a module)."""

    blind = Blind.REJECTED


class BadRequest(NetconfError):
    """What we were asked to send is not a request (a filter that is not XML, a bad option)."""

    blind = Blind.REJECTED


class RpcRefused(NetconfError):
    """The device answered with rpc-error. `tag` is the first error's tag, `words` all messages."""

    blind = Blind.REJECTED

    def __init__(self, tag: str, words: Sequence[str], info: str = "") -> None:
        super().__init__(f"{tag}: {'; '.join(words)}" if words else tag)
        self.tag = tag
        self.words = tuple(words)
        self.info = info
