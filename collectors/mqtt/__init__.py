"""MQTT 5: telemetry and events in, and looks of collectors that stand near their devices."""
