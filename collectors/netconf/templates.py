"""What a service is on a device, as data: a template, the inputs it takes, what to verify.

A template is two files: NAME.toml (a TemplateFile) and NAME.xml.j2, which renders the content of
`config` for one device. Inputs are validated by their declared kind before anything is rendered;
rendering escapes them, knows no other names, and cannot reach Python.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field, model_validator

from collectors.netconf.document import NETCONF, Element, hardened
from collectors.netconf.errors import BadRequest

if TYPE_CHECKING:  # slow to import, and most daemons have no templates
    from jinja2.sandbox import SandboxedEnvironment

OPERATION = f"{{{NETCONF}}}operation"
GONE = frozenset({"remove", "delete"})
LONGEST = 256 * 1024  # characters of rendered configuration
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
RESERVED = frozenset({"service", "device", "name", "operation"})
_XML = re.compile(r"[\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*\Z")  # one line of XML text
_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
Value = str | int | bool


class InputSpec(BaseModel):
    """One value an endpoint must (or, with a default, may) say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    kind: Literal["text", "integer", "boolean"] = "text"
    pattern: str = Field(default="", max_length=512)  # of the whole text
    one_of: tuple[str, ...] = ()
    min: int | None = None
    max: int | None = None
    max_length: int = Field(default=255, ge=1, le=4096)
    default: str | int | bool | None = None
    help: str = Field(default="", max_length=255)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"input {self.name}: netopsd gives {', '.join(sorted(RESERVED))}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"input {self.name}: pattern: {error}") from None
        if self.default is not None:
            self.read(_text(self.default))
        return self

    def read(self, said: str) -> Value:
        """Return the value of `said`. Raises ValueError, saying what would do."""
        if self.kind == "boolean":
            if said not in ("true", "false"):
                raise ValueError(f"{self.name} must be true or false, not {said!r:.80}")
            return said == "true"
        if self.kind == "integer":
            return self._integer(said)
        if not _XML.match(said) or len(said) > self.max_length:
            raise ValueError(f"{self.name} must be one line of up to {self.max_length} characters")
        if self.pattern and not re.fullmatch(self.pattern, said):
            raise ValueError(f"{self.name} {said!r:.80} does not have the form {self.pattern}")
        if self.one_of and said not in self.one_of:
            raise ValueError(f"{self.name} must be one of {', '.join(self.one_of)}")
        return said

    def _integer(self, said: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", said):
            raise ValueError(f"{self.name} must be a whole number, not {said!r:.80}")
        number = int(said)
        low, high = self.min, self.max
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"{'' if low is None else low} to {'' if high is None else high}"
            raise ValueError(f"{self.name} must be {bounds}, not {number}")
        return number


class VerifySpec(BaseModel):
    """What must be so on the device before the change may stay.

    `filter` (a template) selects what to read of the operational state; `xpath` says which text
    in it must equal `equals` (a template). In it every input is a variable: `[if:name=$port]`.
    `equals` "" asks that nothing is found.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: str = Field(min_length=1, max_length=65536)
    xpath: str = Field(min_length=1, max_length=4096)
    equals: str = ""
    on: tuple[Literal["add", "modify", "delete"], ...] = ("add", "modify")


class TemplateFile(BaseModel):
    """NAME.toml. `owned` (a template) is the subtree filter of what the service has on a device.

    `keys` names the key leaf of each list in it: by these the differences are told and a saved
    configuration is put back. `exclusive`: there must be nothing there when a service is added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(default="", max_length=1000)
    owned: str = Field(min_length=1, max_length=65536)
    keys: dict[str, str] = Field(min_length=1)
    exclusive: bool = True
    ignore: tuple[str, ...] = ()  # leaves the device fills in by itself
    namespaces: dict[str, str] = Field(default_factory=dict)  # of the XPaths
    paths: tuple[str, ...] = ("{device}",)  # what must be up at each endpoint: "{device}/{port}"
    meters: tuple[str, ...] = ()
    input: tuple[InputSpec, ...] = ()
    verify: tuple[VerifySpec, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [one.name for one in self.input]
        for twice in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"input {twice} is given twice")
        for text in (*self.paths, *self.meters):
            for slot in _SLOT.findall(text):
                if slot != "device" and slot not in names:
                    raise ValueError(f"{text}: there is no input {slot}")
        for check in self.verify:
            try:
                etree.XPath(check.xpath, namespaces=self.namespaces or None)
            except etree.XPathError as error:
                raise ValueError(f"verify: {check.xpath}: {error}") from None
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to verify on one device."""

    filter: Element
    xpath: str
    equals: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """A template ready to use. Raises BadRequest where it does not render what it promises."""

    name: str
    spec: TemplateFile
    text: str

    @cached_property
    def _environment(self) -> SandboxedEnvironment:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import SandboxedEnvironment

        return SandboxedEnvironment(
            undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
        )

    def values(self, inputs: Mapping[str, str]) -> dict[str, Value]:
        """Return every input as its kind, defaults filled in. Raises ValueError, in words."""
        known = {one.name: one for one in self.spec.input}
        for name in inputs:
            if name not in known:
                wanted = ", ".join(known) or "none"
                raise ValueError(f"template {self.name} has no input {name!r:.80}; it has {wanted}")
        values: dict[str, Value] = {}
        for name, one in known.items():
            if name in inputs:
                values[name] = one.read(inputs[name])
            elif one.default is not None:
                values[name] = one.read(_text(one.default))
            else:
                raise ValueError(f"{name} is missing{one.help and f': {one.help}'}")
        return values

    def places(self, device: str, inputs: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return what must be up and what is metered at an endpoint, as "device/port"."""
        values = {**self.values(inputs), "device": device}

        def filled(texts: Iterable[str]) -> list[str]:
            return [_SLOT.sub(lambda slot: str(values[slot[1]]), text) for text in texts]

        return filled(self.spec.paths), filled(self.spec.meters)

    def config(self, scope: Mapping[str, Any]) -> Element:
        """Return the `config` element to send: `scope` holds all values and `operation`."""
        return self._element("config", self.text, scope)

    def owned(self, scope: Mapping[str, Any]) -> Element:
        """Return the filter of what the service has on a device."""
        return self._filter(self.spec.owned, scope)

    def checks(self, action: str, scope: Mapping[str, Any]) -> list[Check]:
        """Return what to verify after `action`."""
        return [
            Check(
                filter=self._filter(one.filter, scope),
                xpath=one.xpath,
                equals=self._render(one.equals, scope, escape=False),
            )
            for one in self.spec.verify
            if action in one.on
        ]

    def _filter(self, text: str, scope: Mapping[str, Any]) -> Element:
        element = self._element("filter", text, scope)
        element.set("type", "subtree")
        return element

    def _element(self, tag: str, text: str, scope: Mapping[str, Any]) -> Element:
        rendered = self._render(text, scope)
        if "<!DOCTYPE" in rendered:
            raise BadRequest(f"template {self.name}: a document type has no place in it")
        try:
            return etree.fromstring(
                f'<{tag} xmlns="{NETCONF}">{rendered}</{tag}>'.encode(),
                parser=etree.XMLParser(**hardened(remove_comments=True, remove_blank_text=True)),
            )
        except etree.XMLSyntaxError as error:
            raise BadRequest(f"template {self.name} does not render XML: {error}") from None

    def _render(self, text: str, scope: Mapping[str, Any], escape: bool = True) -> str:
        from jinja2 import TemplateError

        environment = self._environment if escape else self._environment.overlay(autoescape=False)
        try:
            rendered = environment.from_string(text).render(scope)
        except (TemplateError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            raise BadRequest(f"template {self.name}: {error}") from None
        if len(rendered) > LONGEST:
            raise BadRequest(f"template {self.name} renders over {LONGEST} characters")
        return rendered

    def expected(self, config: Element) -> list[str]:
        """Return the leaves a device has once `config` is in force, sorted."""
        kept = etree.fromstring(etree.tostring(config))
        for element in [one for one in kept.iter(etree.Element) if one.get(OPERATION) in GONE]:
            if element.getparent() is not None:
                element.getparent().remove(element)
        return self.leaves(kept, self._containers(config))

    def held(self, data: Element | None, scope: Mapping[str, Any]) -> list[str]:
        """Return the leaves a device has now, from its answer to the filter, sorted."""
        return [] if data is None else self.leaves(data, self._containers(self.owned(scope)))

    def leaves(self, root: Element, containers: frozenset[str]) -> list[str]:
        """Return "services/service[id=x]/vlan = 120" for each leaf below `root`, sorted."""
        return sorted(self._lines(root, "", containers))

    def _lines(self, parent: Element, above: str, containers: frozenset[str]) -> Iterator[str]:
        for element in parent.iterchildren(etree.Element):
            name = _local(element)
            if name in self.spec.ignore:
                continue
            key = self.spec.keys.get(name)
            step = f"{name}[{key}={_child(element, key)}]" if key and len(element) else name
            text = (element.text or "").strip()
            if len(element):
                yield from self._lines(element, f"{above}{step}/", containers)
            elif text or name not in containers:
                yield f"{above}{step} = {text}"

    @staticmethod
    def _containers(shape: Element) -> frozenset[str]:
        return frozenset(_local(one) for one in shape.iter(etree.Element) if len(one))

    def restoring(self, saved: str) -> Element:
        """Return the edit that puts back what a device held before, as read from it."""
        config = etree.fromstring(
            f'<config xmlns="{NETCONF}">{saved}</config>'.encode(),
            parser=etree.XMLParser(**hardened(remove_blank_text=True)),
        )
        entries = [one for one in config.iter(etree.Element) if _local(one) in self.spec.keys]
        for one in entries:
            if not any(above in entries for above in one.iterancestors()):
                one.set(OPERATION, "replace")
        return config


def differences(held: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return "- leaf" for what is there and should not be, "+ leaf" for what is missing."""
    here, there = Counter(held), Counter(wanted)
    lines = [(line, "-") for line in (here - there).elements()]
    lines += [(line, "+") for line in (there - here).elements()]
    return tuple(f"{sign} {line}" for line, sign in sorted(lines, key=lambda one: (one[0], one[1])))


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _local(element: Element) -> str:
    return str(etree.QName(element).localname)


def _child(element: Element, name: str) -> str:
    return next(((c.text or "").strip() for c in element if _local(c) == name), "")
