import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.span_record import CLIENT, Known, split_address
from proxy.tunnel.exchange import CallStatus
from tests.unit.telemetry.recorded import finished


def test_what_is_the_same_for_many_calls() -> None:
    known = Known(2, "pkg.Service/Method", "bulk", "0.0.0.0:8001", "ipv4:10.0.0.7:51234", "INTERNAL", failed=True)
    assert known.attributes() == {
        "rpc.system.name": "grpc",
        "rpc.method": "pkg.Service/Method",
        "headway.class": "bulk",
        "server.address": "0.0.0.0",
        "server.port": 8001,
        "network.peer.address": "10.0.0.7",
        "network.peer.port": 51234,
        "rpc.status_code": "INTERNAL",
        "error.type": "INTERNAL",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert Known(3, "pkg.Service/Method", "", "", "", "OK", failed=False).attributes() == {
        "rpc.system.name": "grpc",
        "rpc.method": "pkg.Service/Method",
        "rpc.status_code": "OK",
    }


def test_slack_at_start_and_end() -> None:
    span = finished(deadline=Deadline(100.2, 105.0))
    told = span.told()
    assert [(name, round(value, 6)) for name, value in told.numbers] == [
        ("headway.deadline_ms", 200.0),
        ("headway.deadline.slack_ms.start", 200.0),
        ("headway.deadline.slack_ms", -50.0),
    ]
    span.attributes["headway.deadline.slack_ms"] = 1.5
    assert [name for name, _ in span.told().numbers] == ["headway.deadline_ms", "headway.deadline.slack_ms.start"]
    assert finished().told().numbers == []


def test_a_call_that_was_cancelled_at_its_grpc_deadline() -> None:
    told = finished(deadline=Deadline(100.1, 100.25), status=CallStatus(Code.CANCELLED)).told()
    assert (told.known.status, told.message) == ("DEADLINE_EXCEEDED", "the gRPC deadline passed")


def test_only_who_is_served_has_a_peer() -> None:
    assert finished().told().known.peer == "ipv4:10.0.0.7:51234"
    assert finished(kind=CLIENT).told().known.peer == ""


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("gpu-host:4433", "gpu-host", 4433),
        ("10.0.0.7:51234", "10.0.0.7", 51234),
        ("[::1]:4433", "::1", 4433),
        ("ipv4:127.0.0.1:51234", "127.0.0.1", 51234),
        ("ipv6:%5B::1%5D:51234", "::1", 51234),
        ("ipv6:[fe80::1%25eth0]:51234", "fe80::1%eth0", 51234),
        ("unix:/run/headway.sock", "/run/headway.sock", 0),
        ("unix:", "", 0),
        ("gpu-host", "gpu-host", 0),
        ("::1", "::1", 0),
        ("", "", 0),
    ],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)
