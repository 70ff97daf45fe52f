"""SNMP messages as bytes: one bounded, linear, non-recursive BER codec for everybody.

Pollers, the trap listener and the simulators use it. It raises `DecodeError` and nothing else.
"""
