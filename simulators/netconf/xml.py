"""Namespaces, errors and subtree filters of the simulated servers (RFC 6241)."""

from __future__ import annotations

from typing import Any

from lxml import etree

Element = Any

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
NMDA_NOTIFICATION = "urn:ietf:params:xml:ns:netmod:notification"
NMDA = "urn:ietf:params:xml:ns:yang:ietf-netconf-nmda"
SUBSCRIBED = "urn:ietf:params:xml:ns:yang:ietf-subscribed-notifications"
IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
IANA_IF = "urn:ietf:params:xml:ns:yang:iana-if-type"
AL = "urn:ietf:params:xml:ns:yang:ietf-alarms"
HW = "urn:ietf:params:xml:ns:yang:ietf-hardware"
SYS = "urn:ietf:params:xml:ns:yang:ietf-system"
NCN = "urn:ietf:params:xml:ns:yang:ietf-netconf-notifications"
SVC = "urn:netopsd:yang:service"
OPERATION = f"{{{NC}}}operation"


class RpcError(Exception):
    """An rpc-error to answer with (RFC 6241 appendix A)."""

    def __init__(
        self, tag: str, message: str, *, kind: str = "application", info: str = ""
    ) -> None:
        super().__init__(message)
        self.tag = tag
        self.kind = kind
        self.info = info


def make(tag: str, text: str | None = None, *children: Element, ns: str) -> Element:
    """Return an element in namespace `ns`, which becomes its default namespace."""
    element = etree.Element(f"{{{ns}}}{tag}", nsmap={None: ns})
    element.text = text
    element.extend(children)
    return element


def add(parent: Element, tag: str, text: str | None = None) -> Element:
    """Append a child in the parent's namespace."""
    child = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{tag}")
    child.text = text
    return child


def error_element(error: RpcError) -> Element:
    """Return `error` as an rpc-error element."""
    element = make("rpc-error", ns=NC)
    add(element, "error-type", error.kind)
    add(element, "error-tag", error.tag)
    add(element, "error-severity", "error")
    add(element, "error-message", str(error))
    if error.info:
        add(add(element, "error-info"), "session-id", error.info)
    return element


def name_of(element: Element) -> str:
    return str(etree.QName(element).localname)


def prune(data: Element, wanted: Element | None) -> Element:
    """Return the part of `data` that filter element `wanted` selects (RFC 6241 section 6)."""
    if wanted is None:
        return data
    if wanted.get("type") == "xpath":
        return _by_xpath(data, wanted)
    result = etree.Element(data.tag, nsmap=data.nsmap)
    for part in wanted.iterchildren(tag=etree.Element):
        result.extend(_selected(data, part))
    return result


def _selected(parent: Element, wanted: Element) -> list[Element]:
    found = []
    children = list(wanted.iterchildren(tag=etree.Element))
    text = (wanted.text or "").strip()
    for candidate in parent:
        if candidate.tag != wanted.tag and wanted.tag != name_of(candidate):
            continue
        if not children:
            if not text or (candidate.text or "").strip() == text:
                found.append(_copy(candidate))
            continue
        kept = _contained(candidate, children)
        if kept is not None:
            found.append(kept)
    return found


def _contained(candidate: Element, children: list[Element]) -> Element | None:
    matches = [child for child in children if len(child) == 0 and (child.text or "").strip()]
    for match in matches:
        if not _selected(candidate, match):
            return None
    if len(matches) == len(children):
        return _copy(candidate)
    kept = etree.Element(candidate.tag, nsmap=candidate.nsmap)
    for child in children:
        kept.extend(_selected(candidate, child))
    return kept


def _by_xpath(data: Element, wanted: Element) -> Element:
    path = wanted.get("select", "/")
    root = etree.Element("root", nsmap=data.nsmap)
    root.extend(_copy(child) for child in data)
    prefixes = {key: value for key, value in wanted.nsmap.items() if key}
    try:
        hits = root.xpath(path if not path.startswith("/") else f"/root{path}", namespaces=prefixes)
    except etree.XPathError as error:
        raise RpcError("invalid-value", f"filter: {error}", kind="protocol") from None
    # Elements compare by identity, and that holds only while Python keeps them.
    keep = {node for hit in hits for node in (hit, *hit.iterancestors(), *hit.iterdescendants())}
    for node in list(root.iter()):
        if node not in keep and node.getparent() is not None:
            node.getparent().remove(node)
    result = etree.Element(data.tag, nsmap=data.nsmap)
    result.extend(list(root))
    return result


def _copy(element: Element) -> Element:
    return etree.fromstring(etree.tostring(element, with_tail=False))
