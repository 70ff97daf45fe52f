"""Python's collector of cycles, told what kind of program this is.

Nearly all that netopsd makes is freed by counting references or lives as long as the device it is
about; collecting after every 700 objects, as Python does, walks those again and again (a quarter of
the processor's time in a storm of traps, and hundreds of ms at once with 10,000 devices).
"""

from __future__ import annotations

import gc

YOUNG = 50_000  # objects more than before a collection: some ms
ROUNDS = (50, 50)


def hold() -> None:
    """Collect nothing until `settle`: nearly all that is made at start stays."""
    gc.disable()


def tune() -> None:
    """Collect seldom from now on."""
    gc.set_threshold(YOUNG, *ROUNDS)


def settle() -> None:
    """Leave what lives now out of all collections to come."""
    gc.freeze()
    gc.enable()
