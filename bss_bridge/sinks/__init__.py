"""Where messages go. `build` makes the sink of a setting; a sink opens what it needs when used.

The clients of the protocols are slow to import: each comes with the first sink of its kind.
"""

from __future__ import annotations

from bss_bridge.office.store import Office
from bss_bridge.settings import (
    FileSinkSettings,
    MqttSinkSettings,
    OfficeSinkSettings,
    SinkSettings,
    SmtpSinkSettings,
    WebhookSinkSettings,
)
from bss_bridge.sinks.file import FileSink
from bss_bridge.sinks.office import OfficeSink
from netopsd.ports import Clock, Sink


def build(settings: SinkSettings, office: Office, clock: Clock) -> Sink:
    """Return the sink `settings` describe. It touches nothing before its first `deliver`."""
    match settings:
        case OfficeSinkSettings():
            return OfficeSink(office)
        case FileSinkSettings():
            return FileSink(settings.path)
        case WebhookSinkSettings():
            from bss_bridge.sinks.webhook import WebhookSink

            return WebhookSink(settings, clock)
        case SmtpSinkSettings():
            from bss_bridge.sinks.smtp import SmtpSink

            return SmtpSink(settings)
        case MqttSinkSettings():
            from bss_bridge.sinks.mqtt import MqttSink

            return MqttSink(settings)
