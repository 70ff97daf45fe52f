"""The operator's TOML → frozen Settings. Errors name file, key and the nearest right word."""

from netopsd.settings.daemon import HttpSettings, LogSettings, Token
from netopsd.settings.loading import Settings, load

__all__ = ["HttpSettings", "LogSettings", "Settings", "Token", "load"]
