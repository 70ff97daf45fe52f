"""customers.toml: who buys, who pays, and what each service costs and promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bss_bridge.settings import Contract, CreditTier, Currency, Customer, Identifier
from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.words import Share, Text


def money(value: object) -> object:
    """Return an amount as Decimal from "1490.00" or 1490. Raises ValueError for a float."""
    if isinstance(value, float):
        raise ValueError('an amount with decimals is written as text, "1490.00": exact, no float')
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('not an amount; write it as text, "1490.00"')
    text = str(value)
    whole, _, cents = text.partition(".")
    if not text.isascii() or not whole.isdigit() or not (cents or "0").isdigit():
        raise ValueError('not an amount; write digits only, such as "1490.00"')
    if len(text) > 18:
        raise ValueError("an amount of more than 18 digits")
    return Decimal(text)


Table = dict[str, Any]
Amount = Annotated[Decimal, BeforeValidator(money)]


class TierRow(BaseModel):
    """One [[contract.tier]]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    below: Share = Field(description="99.9, a percentage of availability")
    down_to: Share | None = None
    credit: Share = Field(description="10, a percentage of the monthly fee")


class ContractRow(BaseModel):
    """One [[contract]]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Identifier = Field(description='"the id of a service in services.toml"')
    name: Text = ""
    monthly_fee: Amount = Field(description='"1490.00"')
    currency: Currency | None = None
    target: Share = Field(description="99.9, a percentage of availability in a calendar month")
    tier: tuple[TierRow, ...] = ()
    incident_cap: Amount | None = None
    monthly_cap: Amount | None = None
    minimum_credit: Amount = Decimal(0)


class CustomersFile(BaseModel):
    """customers.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer: tuple[Table, ...] = ()
    contract: tuple[Table, ...] = ()


def owners(
    customers: Sequence[tuple[int, Customer]], source: Source, problems: Problems
) -> dict[str, Customer]:
    """Return account id → customer; ids used twice and customers nobody can bill are noted."""
    ids: set[str] = set()
    found: dict[str, Customer] = {}
    for i, customer in customers:
        at: KeyPath = ("customer", i)
        if customer.id in ids:
            what = f"customer {quote(customer.id)} is there already"
            problems.add(source, (*at, "id"), what, "Give each customer its own id")
        ids.add(customer.id)
        for j, account in enumerate(customer.account):
            if found.setdefault(account.id, customer) is not customer:
                other = found[account.id].id
                what = f"account {quote(account.id)} belongs to customer {quote(other)} already"
                problems.add(source, (*at, "account", j, "id"), what)
    return found


def build_contracts(
    rows: Sequence[tuple[int, ContractRow]],
    services: Mapping[str, tuple[str, str]],
    owned: Mapping[str, Customer],
    source: Source,
    problems: Problems,
) -> dict[str, Contract]:
    """Return service id → contract. `services` maps a service's id to its (account, name)."""
    built: dict[str, Contract] = {}
    for i, row in rows:
        at: KeyPath = ("contract", i)
        if row.service not in services:
            what = f"unknown service {quote(row.service)}"
            problems.unknown(source, (*at, "service"), what, row.service, list(services))
            continue
        if row.service in built:
            what = f"service {quote(row.service)} has a contract already"
            problems.add(source, (*at, "service"), what, "Remove one of the two")
            continue
        account, name = services[row.service]
        owner = owned.get(account)
        if not _sound_tiers(row, at, source, problems) or owner is None:
            continue  # an unknown account is noted where the service names it
        try:
            built[row.service] = _contract(row, name, account, owner)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                what = str(found["msg"]).removeprefix("Value error, ")
                path = tuple(step for step in found["loc"] if isinstance(step, str))
                problems.add(source, (*at, *path), what)
    return built


def _contract(row: ContractRow, name: str, account: str, owner: Customer) -> Contract:
    return Contract(
        service=row.service,
        name=row.name or name,
        customer=owner.id,
        account=account,
        monthly_fee=row.monthly_fee,
        currency=row.currency or owner.currency,
        target=row.target,
        tiers=tuple(CreditTier(below=tier.below, credit=tier.credit) for tier in row.tier),
        incident_cap=row.incident_cap,
        monthly_cap=row.monthly_cap,
        minimum_credit=row.minimum_credit,
    )


def _sound_tiers(row: ContractRow, at: KeyPath, source: Source, problems: Problems) -> bool:
    """Return whether the tiers cover everything below the target once; what does not is noted."""
    before = len(problems.lines)
    if not 0 < row.target <= 1:
        problems.add(source, (*at, "target"), "must be more than 0 and at most 100")
    expected, owed, name = row.target, Decimal(0), "target"
    for i, tier in enumerate(row.tier):
        here = (*at, "tier", i)
        if tier.below != expected and (i == 0 or row.tier[i - 1].down_to is not None):
            _note_seam(tier.below, expected, name, (*here, "below"), (source, problems))
        elif i and tier.below >= row.tier[i - 1].below:
            what = f"overlaps tier {i}, which begins below {percent(row.tier[i - 1].below)}"
            remedy = "Write tiers from the mildest to the worst"
            problems.add(source, (*here, "below"), what, remedy)
        if tier.down_to is not None and tier.down_to >= tier.below:
            problems.add(source, (*here, "down_to"), f"must be less than {percent(tier.below)}")
        if tier.credit <= owed:
            what = f"must be more than {percent(owed)}: a worse month is worth more"
            problems.add(source, (*here, "credit"), what)
        owed = tier.credit
        if tier.down_to is not None:
            expected, name = tier.down_to, f"end of tier {i + 1}"
    if row.tier and row.tier[-1].down_to:
        last = len(row.tier) - 1
        what = f"leaves a gap below {percent(row.tier[-1].down_to)}"
        remedy = "Remove down_to from the last tier, or write a tier below it"
        problems.add(source, (*at, "tier", last, "down_to"), what, remedy)
    return len(problems.lines) == before


def _note_seam(
    below: Decimal, expected: Decimal, name: str, at: KeyPath, to: tuple[Source, Problems]
) -> None:
    seam = "leaves a gap" if below < expected else "overlaps"
    what = f"{seam}: this tier is below {percent(below)}, the {name} is {percent(expected)}"
    to[1].add(to[0], at, what, f"Write below = {(expected * 100).normalize():f}")


def percent(value: Decimal) -> str:
    return f"{(value * 100).normalize():f} %"
