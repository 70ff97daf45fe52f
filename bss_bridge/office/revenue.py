"""Revenue assurance: what must hold between the books, and what does not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bss_bridge.office.books import BookedCredit, Books, BrokenPromise, Disputed, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a person should look at."""

    check: str  # credit-missing | credit-without-violation | usage-gap | usage-repeated | …
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Count, volume and money of what is booked."""

    usage_records: int
    in_octets: int
    out_octets: int
    violations: int
    credits: int
    credit_minor: dict[str, int]  # per currency
    notices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assurance:
    """The result of a check: right when there are no findings."""

    findings: tuple[Finding, ...]
    totals: Totals


def assure(books: Books) -> Assurance:
    """Return everything that does not add up in `books`, and the totals."""
    violations, credits = books.violations(), books.credits()
    volume = [0, 0, 0]
    findings = [
        *check_credits(violations, credits),
        *check_sequences(_summed(books.usage(), volume)),
        *check_disputes(books.disputes()),
    ]
    totals = Totals(
        usage_records=volume[0],
        in_octets=volume[1],
        out_octets=volume[2],
        violations=len(violations),
        credits=len(credits),
        credit_minor=books.credit_totals(),
        notices=books.counts()["care_notice"],
    )
    return Assurance(findings=tuple(findings), totals=totals)


def _summed(usage: Iterable[Usage], volume: list[int]) -> Iterator[Usage]:
    """Pass `usage` on, adding count and octets to `volume`: one pass over what may be millions."""
    for record in usage:
        volume[0] += 1
        volume[1] += record.in_octets
        volume[2] += record.out_octets
        yield record


def check_credits(
    violations: Sequence[BrokenPromise], credits: Sequence[BookedCredit]
) -> Iterator[Finding]:
    """Every confirmed violation has one credit, and every credit a violation of its account."""
    held = Counter((credit.violation, credit.account) for credit in credits)
    for violation in violations:
        found = held.pop((violation.id, violation.account), 0)
        if violation.state == "confirmed" and found != 1:
            yield Finding(
                check="credit-missing" if found == 0 else "credit-repeated",
                subject=violation.id,
                detail=f"{found} credits on account {violation.account}",
            )
    for (violation_id, account), _ in held.items():
        yield Finding(
            check="credit-without-violation", subject=violation_id, detail=f"account {account}"
        )


def check_sequences(usage: Iterable[Usage]) -> Iterator[Finding]:
    """The sequence of each source runs from 1 with no hole and no repeat.

    `usage` comes ordered by source and sequence.
    """
    source, before = "", 0
    for record in usage:
        if record.source != source:
            source, before = record.source, 0
        number = record.sequence
        if number == before:
            yield Finding(check="usage-repeated", subject=source, detail=f"sequence {number}")
        elif number > before + 1:
            missing = f"{before + 1}" if number == before + 2 else f"{before + 1} to {number - 1}"
            yield Finding(check="usage-gap", subject=source, detail=f"sequence {missing} missing")
        before = number


def check_disputes(disputes: Iterable[Disputed]) -> Iterator[Finding]:
    """Nothing is in dispute."""
    for dispute in disputes:
        yield Finding(check="dispute", subject=dispute.key, detail=dispute.why)
