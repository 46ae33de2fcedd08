import math

from policies.traffic import Deadline
from proxy.tcp.fields import read_fields, write_fields
from proxy.tunnel.exchange import CallHead

HEAD = CallHead(
    "/pkg.Service/Method",
    traffic_class="realtime",
    deadline=Deadline(12.5, 14.0),
    peer="192.0.2.7:5555",
)


def test_the_tunnel_s_fields_as_metadata() -> None:
    assert write_fields(HEAD, token=b"secret") == (
        ("headway-class", "realtime"),
        ("headway-deadline", "12500000;limit=14000000"),
        ("headway-client", "192.0.2.7:5555"),
        ("headway-token", "secret"),
    )


def test_a_call_without_class_and_deadline_has_none() -> None:
    assert write_fields(CallHead("/pkg.Service/Method"), token=b"") == ()


def test_what_is_written_is_read() -> None:
    metadata = (("x-own", "1"), *write_fields(HEAD, token=b"secret"), ("x-own-bin", b"\x00"))
    request = read_fields(HEAD.path, metadata, remaining_s=3.0)

    assert request.path == "/pkg.Service/Method"
    assert request.metadata == (("x-own", "1"), ("x-own-bin", b"\x00"))
    assert (request.traffic_class, request.client, request.token) == ("realtime", "192.0.2.7:5555", b"secret")
    assert request.deadline == Deadline(12.5, 14.0)
    assert request.timeout_s == 3.0


def test_from_a_peer_that_knows_nothing_of_the_tunnel() -> None:
    request = read_fields("/pkg.Service/Method", (("user-agent", "grpc"),), remaining_s=None)

    assert (request.traffic_class, request.client, request.token, request.deadline) == ("", "", b"", None)
    assert request.timeout_s is None
    assert request.metadata == ()


def test_a_timeout_beyond_ten_years_is_none() -> None:
    assert read_fields("/s/m", (), remaining_s=math.inf).timeout_s is None
