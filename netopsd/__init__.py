"""netopsd: watches a network, decides what is broken, says so once, and settles the bill."""

from __future__ import annotations

__version__ = "0.1.0"
