# ruff: noqa: SIM905  (one code a word reads better than a column of quoted strings)
"""Money as integers of its smallest unit (ISO 4217). No float comes near it."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

_NO_MINOR_UNIT = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()
)
_THREE = frozenset("BHD IQD JOD KWD LYD OMR TND".split())
_FOUR = frozenset("CLF UYW".split())
_TWO = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR
    LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD
    PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC
    SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR ZMW ZWG
    """.split()
)
CURRENCIES = _NO_MINOR_UNIT | _TWO | _THREE | _FOUR
_PRECISION = 50  # digits: no sum or product of ours is ever rounded before its one rounding
MOST_MINOR = 2**63 - 1  # what a database integer holds


def exponent(currency: str) -> int:
    """Return how many decimals `currency` has (ISO 4217). Raises ValueError for no currency."""
    if currency not in CURRENCIES:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency code")
    if currency in _NO_MINOR_UNIT:
        return 0
    if currency in _THREE:
        return 3
    return 4 if currency in _FOUR else 2


def to_minor(amount: Decimal, currency: str) -> int:
    """Return `amount` in minor units, rounded half to even: the one rounding it gets."""
    with localcontext(prec=_PRECISION):
        return int(amount.scaleb(exponent(currency)).to_integral_value(ROUND_HALF_EVEN))


def from_minor(minor: int, currency: str) -> Decimal:
    """Return `minor` units of `currency` as an exact Decimal with all its decimals."""
    with localcontext(prec=_PRECISION):
        return Decimal(minor).scaleb(-exponent(currency))


def as_text(minor: int, currency: str) -> str:
    """Return the amount as plain digits, "1234.50", never with an exponent."""
    return f"{from_minor(minor, currency):f}"


def times(amount: Decimal, share: Decimal) -> Decimal:
    """Return amount x share, exact to fifty digits."""
    with localcontext(prec=_PRECISION):
        return amount * share
