from __future__ import annotations

import math

import pytest

from policies.traffic import Deadline
from proxy.errors import Code, TunnelProtocolError
from proxy.tunnel.exchange import CallHead, CallStatus
from proxy.tunnel.headers import (
    TunnelRequest,
    TunnelResponse,
    decode_deadline,
    decode_request,
    decode_response,
    decode_status,
    encode_initial_metadata,
    encode_request,
    encode_status,
    encode_tunnel_fields,
)
from proxy.tunnel.metadata import Headers

POST: Headers = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":path", b"/pkg.Service/Method"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
ANSWER: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class TestRequest:
    def test_everything_of_a_head_is_written(self) -> None:
        head = CallHead(
            "/pkg.Service/Method",
            (("k", "v"), ("k-bin", b"\x00\x01")),
            traffic_class="realtime",
            deadline=Deadline(1000.25, 1000.5),
            peer="10.0.0.7:51234",
        )
        assert encode_request(head, authority="gpu-host:4433", token=b"secret", priority=3, now=1000.0) == [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", b"gpu-host:4433"),
            (b":path", b"/pkg.Service/Method"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-accept-encoding", b"identity,gzip,deflate"),
            (b"priority", b"u=3"),
            (b"grpc-timeout", b"500000u"),
            (b"headway-class", b"realtime"),
            (b"headway-deadline", b"1000250000;limit=1000500000"),
            (b"headway-client", b"10.0.0.7:51234"),
            (b"headway-token", b"secret"),
            (b"k", b"v"),
            (b"k-bin", b"AAE"),
        ]

    def test_what_a_head_lacks_is_not_written(self) -> None:
        keys = [key for key, _ in encode_request(CallHead("/s/m"), authority="a", token=b"", priority=0, now=0.0)]
        assert keys == [
            b":method",
            b":scheme",
            b":authority",
            b":path",
            b"te",
            b"content-type",
            b"grpc-accept-encoding",
            b"priority",
        ]

    def test_everything_that_is_written_is_read(self) -> None:
        head = CallHead(
            "/pkg.Service/Method",
            (("k", "v"), ("k-bin", b"\x00\x01")),
            traffic_class="realtime",
            deadline=Deadline(1000.25, 1000.5),
            peer="[::1]:51234",
        )
        headers = encode_request(head, authority="a", token=b"secret", priority=0, now=1000.0)
        assert decode_request(headers) == TunnelRequest(
            path="/pkg.Service/Method",
            metadata=(("k", "v"), ("k-bin", b"\x00\x01")),
            traffic_class="realtime",
            deadline=Deadline(1000.25, 1000.5),
            timeout_s=0.5,
            token=b"secret",
            client="[::1]:51234",
            encoding="identity",
        )

    def test_a_peer_that_knows_nothing_of_the_tunnel(self) -> None:
        assert decode_request([*POST, (b"grpc-timeout", b"2S"), (b"grpc-encoding", b"gzip")]) == TunnelRequest(
            path="/pkg.Service/Method",
            metadata=(),
            traffic_class="",
            deadline=None,
            timeout_s=2.0,
            token=b"",
            client="",
            encoding="gzip",
        )

    @pytest.mark.parametrize(("priority", "field"), [(-1, b"u=0"), (0, b"u=0"), (7, b"u=7"), (8, b"u=7")])
    def test_priorities_are_urgencies(self, priority: int, field: bytes) -> None:
        headers = encode_request(CallHead("/s/m"), authority="a", token=b"", priority=priority, now=0.0)
        assert dict(headers)[b"priority"] == field

    def test_a_passed_limit_leaves_no_time(self) -> None:
        head = CallHead("/s/m", deadline=Deadline(9.0, 9.0))
        assert dict(encode_request(head, authority="a", token=b"", priority=0, now=10.0))[b"grpc-timeout"] == b"0u"

    def test_a_client_cannot_write_fields_of_the_tunnel_through_its_address(self) -> None:
        assert encode_tunnel_fields(CallHead("/s/m", peer="unix:/tmp/größe"), token=b"") == [
            (b"headway-client", b"unix:/tmp/gr??e")
        ]

    @pytest.mark.parametrize("content_type", [b"application/grpc", b"application/grpc+proto", b"application/grpc;a=b"])
    def test_content_types_of_grpc(self, content_type: bytes) -> None:
        headers = [field for field in POST if field[0] != b"content-type"]
        assert decode_request([*headers, (b"content-type", content_type)]).path == "/pkg.Service/Method"

    @pytest.mark.parametrize(
        ("headers", "message"),
        [
            ([(b":method", b"GET"), *POST[1:]], "not a gRPC call: the method is not POST"),
            ([], "not a gRPC call: the method is not POST"),
            (POST[:-1], "not a gRPC call: content-type is not application/grpc"),
            ([*POST[:-1], (b"content-type", b"text/html")], "not a gRPC call: content-type is not application/grpc"),
        ],
    )
    def test_what_is_no_call(self, headers: Headers, message: str) -> None:
        with pytest.raises(TunnelProtocolError) as caught:
            decode_request(headers)
        assert (str(caught.value), caught.value.code) == (message, Code.INTERNAL)

    def test_an_unknown_encoding_is_unimplemented(self) -> None:
        with pytest.raises(TunnelProtocolError) as caught:
            decode_request([*POST, (b"grpc-encoding", b"snappy")])
        assert str(caught.value) == "grpc-encoding 'snappy' is not supported; known: identity, gzip, deflate"
        assert caught.value.code is Code.UNIMPLEMENTED

    @pytest.mark.parametrize("value", [b"-1S", b"1x", b"123456789m", b"", b"1.5S", b"\xff"])
    def test_a_malformed_timeout_is_an_invalid_argument(self, value: bytes) -> None:
        with pytest.raises(TunnelProtocolError) as caught:
            decode_request([*POST, (b"grpc-timeout", value)])
        assert caught.value.code is Code.INVALID_ARGUMENT
        assert str(caught.value).endswith("is not 1 to 8 digits and one of H M S m u n")

    @pytest.mark.parametrize(
        ("values", "timeout_s"),
        [([b"0m"], 0.0), ([b"99999999H"], None), ([b"5S", b"2S"], 2.0), ([b"2S", b"5S"], 2.0), ([], None)],
        ids=["none left", "as good as none", "the shortest", "in any order", "none"],
    )
    def test_timeouts(self, values: list[bytes], timeout_s: float | None) -> None:
        assert decode_request(POST + [(b"grpc-timeout", value) for value in values]).timeout_s == timeout_s

    def test_one_malformed_timeout_of_two_is_enough(self) -> None:
        with pytest.raises(TunnelProtocolError, match="'oops'"):
            decode_request([*POST, (b"grpc-timeout", b"5S"), (b"grpc-timeout", b"oops")])


class TestDeadline:
    @pytest.mark.parametrize(
        ("deadline", "value"),
        [
            (Deadline(1.0, 2.0), b"1000000;limit=2000000"),
            (Deadline(1.0), b"1000000"),
            (Deadline(0.0000014, 3.0), b"1;limit=3000000"),
            (Deadline(-0.5, 1.0), b"-500000;limit=1000000"),
            (Deadline(1e12, 1e12), b"1000000000000000000;limit=1000000000000000000"),
        ],
    )
    def test_microseconds_on_the_proxy_s_clock(self, deadline: Deadline, value: bytes) -> None:
        assert encode_tunnel_fields(CallHead("/s/m", deadline=deadline), token=b"") == [(b"headway-deadline", value)]
        read = decode_deadline(value)
        assert read is not None
        assert read.target_at == pytest.approx(deadline.target_at, abs=1e-6)
        assert read.limit_at == pytest.approx(deadline.limit_at, abs=1e-6)

    def test_no_deadline_is_too_late_to_be_written(self) -> None:
        head = CallHead("/s/m", deadline=Deadline(1e305, 1e306))
        assert encode_tunnel_fields(head, token=b"") == [
            (b"headway-deadline", b"1000000000000000000;limit=1000000000000000000")
        ]

    def test_no_deadline_is_not_written(self) -> None:
        assert encode_tunnel_fields(CallHead("/s/m"), token=b"") == []
        assert decode_deadline(None) is None

    def test_a_target_past_its_limit_is_drawn_in(self) -> None:
        assert decode_deadline(b"5000000;limit=2000000") == Deadline(2.0, 2.0)

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"soon",
            b"1.5",
            b"nan",
            b"inf",
            b";limit=5",
            b"5;limit=x",
            b"5;limit=1;limit=2",
            b"9" * 5000,
            b"9" * 400,
        ],
    )
    def test_an_unreadable_one_is_none(self, value: bytes) -> None:
        assert decode_deadline(value) is None


class TestAnswer:
    def test_headers(self) -> None:
        headers = encode_initial_metadata((("k", "v"), ("k-bin", b"\x00")))
        assert headers == [*ANSWER, (b"k", b"v"), (b"k-bin", b"AA")]
        assert decode_response(headers) == TunnelResponse((("k", "v"), ("k-bin", b"\x00")), "identity", None)

    def test_trailers(self) -> None:
        status = CallStatus(Code.NOT_FOUND, "Größe 100 %", (("t", "1"), ("t-bin", b"\xff")))
        headers = encode_status(status, trailers_only=False)
        assert headers == [
            (b"grpc-status", b"5"),
            (b"grpc-message", b"Gr%C3%B6%C3%9Fe 100 %25"),
            (b"t", b"1"),
            (b"t-bin", b"/w"),
        ]
        assert decode_status(headers) == status

    def test_trailers_only(self) -> None:
        status = CallStatus(Code.UNAVAILABLE, "away", (("t", "1"),))
        headers = encode_status(status, trailers_only=True)
        assert headers == [*ANSWER, (b"grpc-status", b"14"), (b"grpc-message", b"away"), (b"t", b"1")]
        assert decode_response(headers) == TunnelResponse((), "identity", status)

    def test_writing_trailers_only_leaves_nothing_behind_for_the_next(self) -> None:
        encode_status(CallStatus(Code.UNAVAILABLE), trailers_only=True)
        assert encode_initial_metadata(()) == ANSWER

    def test_an_ok_without_a_message_has_no_message_field(self) -> None:
        assert encode_status(CallStatus(Code.OK), trailers_only=False) == [(b"grpc-status", b"0")]

    def test_rich_status_details_pass(self) -> None:
        metadata = (("grpc-status-details-bin", b"\x08\x05"),)
        assert decode_status(
            encode_status(CallStatus(Code.NOT_FOUND, "x", metadata), trailers_only=False)
        ) == CallStatus(Code.NOT_FOUND, "x", metadata)

    @pytest.mark.parametrize("raw", [b"17", b"99", b"-1", b"x", b" 0", b"0x0", b"00", "²".encode(), b"9" * 5000])
    def test_a_status_that_is_no_code_is_unknown(self, raw: bytes) -> None:
        assert decode_status([(b"grpc-status", raw), (b"grpc-message", b"m")]) == CallStatus(Code.UNKNOWN, "m")

    @pytest.mark.parametrize("code", range(17))
    def test_every_code(self, code: int) -> None:
        assert decode_status(encode_status(CallStatus(code), trailers_only=False)).code == code

    def test_no_status_at_all(self) -> None:
        assert decode_status([(b"t", b"1")]) == CallStatus(
            Code.UNKNOWN, "the answer ended without grpc-status", (("t", "1"),)
        )
        assert decode_status([(b"grpc-status", b"")]).code == Code.UNKNOWN

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_an_encoding_that_was_offered(self, encoding: str) -> None:
        assert decode_response([*ANSWER, (b"grpc-encoding", encoding.encode())]).encoding == encoding

    def test_an_encoding_that_was_not_offered(self) -> None:
        with pytest.raises(TunnelProtocolError, match="compresses with 'br', which was not offered"):
            decode_response([*ANSWER, (b"grpc-encoding", b"br")])

    @pytest.mark.parametrize(
        ("http_status", "code"),
        [
            (b"400", Code.INTERNAL),
            (b"401", Code.UNAUTHENTICATED),
            (b"403", Code.PERMISSION_DENIED),
            (b"404", Code.UNIMPLEMENTED),
            (b"429", Code.UNAVAILABLE),
            (b"502", Code.UNAVAILABLE),
            (b"503", Code.UNAVAILABLE),
            (b"504", Code.UNAVAILABLE),
            (b"500", Code.UNKNOWN),
            (b"302", Code.UNKNOWN),
        ],
    )
    def test_http_statuses_without_a_grpc_status(self, http_status: bytes, code: Code) -> None:
        status = decode_response([(b":status", http_status), (b"content-type", b"text/html")]).status
        text = f"the peer answered with HTTP status {http_status.decode()} and no grpc-status"
        assert status == CallStatus(code, text)

    def test_http_200_that_is_not_grpc(self) -> None:
        status = decode_response([(b":status", b"200"), (b"content-type", b"text/html")]).status
        assert status == CallStatus(Code.UNKNOWN, "the peer answered with HTTP status 200 and no grpc-status")

    def test_a_grpc_status_counts_before_the_http_status(self) -> None:
        status = decode_response([(b":status", b"503"), (b"grpc-status", b"8"), (b"grpc-message", b"quota")]).status
        assert status == CallStatus(Code.RESOURCE_EXHAUSTED, "quota")


def test_the_limit_of_a_call_without_one_stays_none() -> None:
    read = decode_deadline(b"1000000")
    assert read is not None
    assert math.isinf(read.limit_at)


def test_stages_stand_in_the_last_section_and_are_nobody_else_s_affair() -> None:
    section = encode_status(CallStatus(Code.OK, "", (("t", "1"),)), trailers_only=False, stages=b"1;;;;;2")
    assert section == [(b"grpc-status", b"0"), (b"headway-stages", b"1;;;;;2"), (b"t", b"1")]
    assert decode_status(section) == CallStatus(Code.OK, "", (("t", "1"),))
