from __future__ import annotations

import socket

import pytest

from proxy.compose.listening import Protocol, cannot_listen, reason
from proxy.config import Address, Config, TelemetrySettings, TrafficSettings
from proxy.config.sources import Origin
from proxy.errors import HeadwayError

CONFIG = Config(
    TrafficSettings({}, "standard"),
    "edf",
    TelemetrySettings(),
    origins={"daemon.listen": Origin("headway.yaml", line=3)},
)


@pytest.mark.parametrize(("protocol", "kind"), [("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM)])
def test_the_reason_is_the_systems(protocol: Protocol, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        assert reason(address, protocol) == "Address already in use"
        error = cannot_listen(CONFIG, "daemon.listen", address, protocol, HeadwayError("set GRPC_VERBOSITY=debug"))
        assert error.problems == [
            f"headway.yaml:3: daemon.listen: can't listen on {address} ({protocol}): Address already in use"
        ]
    assert reason(address, protocol) == ""


def test_an_address_of_another_machine() -> None:
    assert reason(Address("192.0.2.1", 0), "UDP") == "Cannot assign requested address"


def test_without_a_reason_there_is_the_error() -> None:
    free = Address("127.0.0.1", 0)
    line = "headway.yaml:3: daemon.listen: can't listen on 127.0.0.1:0 (TCP): "
    assert cannot_listen(CONFIG, "daemon.listen", free, "TCP", HeadwayError("no")).problems == [f"{line}no"]
    system = OSError(24, "Too many open files")
    assert cannot_listen(CONFIG, "daemon.listen", free, "TCP", system).problems == [f"{line}Too many open files"]
