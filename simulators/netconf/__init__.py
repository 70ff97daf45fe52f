"""NETCONF servers that do not exist: one per simulated device, with faults on demand."""

from simulators.netconf.faults import Fault, FaultKind
from simulators.netconf.model import DeviceModel, PortState, Service, StandIn
from simulators.netconf.server import NetconfSimulator, User

__all__ = [
    "DeviceModel",
    "Fault",
    "FaultKind",
    "NetconfSimulator",
    "PortState",
    "Service",
    "StandIn",
    "User",
]
