"""Tells the business side what happened; the embedded back office. Knows money, not networks."""
