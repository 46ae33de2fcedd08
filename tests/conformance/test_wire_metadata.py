"""Metadata at the edge of what is allowed, and past it: answered, and never passed on raw."""

import pytest

from tests.conformance.backend import SERVICE
from tests.conformance.client import new_call_id
from tests.conformance.conftest import Path, Target
from tests.conformance.journal import CALL_ID_KEY
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, WireCall, WireClient, WireServer, framed

UNARY = f"/{SERVICE}/Unary"
OK, RESOURCE_EXHAUSTED, INTERNAL = 0, 8, 13
GOOD = framed(pb.CallRequest(payload=b"good", echo=True).SerializeToString())
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def ask(target: Target, *extra: tuple[str, str]) -> Answer:
    async with WireClient(target.address) as wire:
        return await wire.call(UNARY, *extra, body=GOOD)


async def still_serves(target: Target) -> None:
    assert (await ask(target)).grpc_status == OK


@pytest.mark.parametrize("wire_value", ["AP8=", "AP8"], ids=["padded", "unpadded"])
async def test_binary_metadata_with_and_without_padding(target: Target, wire_value: str) -> None:
    call_id = new_call_id()
    answer = await ask(target, (CALL_ID_KEY, call_id), ("x-echo-initial-bin", wire_value))

    assert answer.grpc_status == OK
    assert target.backend.calls[call_id].values("x-echo-initial-bin") == [b"\x00\xff"]
    assert (answer.header("x-echo-initial-bin") or "").rstrip("=") == "AP8"


async def test_binary_metadata_joined_by_a_comma(target: Target) -> None:
    """Two values in one header, as the specification allows; grpc's own server refuses it. Never one wrong value."""
    call_id = new_call_id()
    answer = await ask(target, (CALL_ID_KEY, call_id), ("x-many-bin", "AP8,AQI="))

    assert answer.grpc_status in {OK, INTERNAL}
    if answer.grpc_status == OK:
        assert target.backend.calls[call_id].values("x-many-bin") == [b"\x00\xff", b"\x01\x02"]
    await still_serves(target)


async def test_binary_metadata_that_is_not_base64(target: Target) -> None:
    answer = await ask(target, ("x-broken-bin", "A!*"))

    assert answer.grpc_status == INTERNAL
    assert "x-broken-bin" in answer.grpc_message
    await still_serves(target)


async def test_values_of_one_key_keep_their_order(target: Target) -> None:
    call_id = new_call_id()
    await ask(target, (CALL_ID_KEY, call_id), ("x-many", "a,b"), ("x-other", "o"), ("x-many", "c"), ("x-many", ""))

    assert target.backend.calls[call_id].values("x-many") == ["a,b", "c", ""]


@pytest.mark.parametrize("size_bytes", [7_000, 9_000, 12_000, 15_000])
async def test_large_headers(target: Target, size_bytes: int) -> None:
    """Around the 8 KiB that gRPC suggests: passed on whole or refused as too much, nothing in between."""
    call_id = new_call_id()
    answer = await ask(target, (CALL_ID_KEY, call_id), ("x-large", "v" * size_bytes))

    assert answer.grpc_status in ({OK} if size_bytes <= 7_000 else {OK, RESOURCE_EXHAUSTED})
    if answer.grpc_status == OK:
        assert target.backend.calls[call_id].values("x-large") == ["v" * size_bytes]
    await still_serves(target)


async def test_a_hundred_keys(target: Target) -> None:
    call_id = new_call_id()
    extra = [(f"x-key-{number:03}", str(number)) for number in range(100)]
    answer = await ask(target, (CALL_ID_KEY, call_id), *extra)

    assert answer.grpc_status == OK
    there = dict(target.backend.calls[call_id].metadata)
    assert [there.get(name) for name, _ in extra] == [value for _, value in extra]


async def test_a_thousand_keys(target: Target) -> None:
    """43 kB by HTTP/2's count."""
    call_id = new_call_id()
    extra = [(f"x-key-{number:04}", str(number)) for number in range(1000)]
    answer = await ask(target, (CALL_ID_KEY, call_id), *extra)

    assert answer.grpc_status in {OK, RESOURCE_EXHAUSTED}
    if answer.grpc_status == OK:
        there = dict(target.backend.calls[call_id].metadata)
        assert [there.get(name) for name, _ in extra] == [value for _, value in extra]
    await still_serves(target)


@pytest.mark.parametrize(
    "value", ["caf\u00e9", "bell\x07", "del\x7f", "zero\x00"], ids=["latin1", "control", "delete", "nul"]
)
async def test_values_outside_printable_ascii(target: Target, value: str) -> None:
    """Stripped, refused, or passed on as one value; never a lost connection."""
    call_id = new_call_id()
    answer = await ask(target, (CALL_ID_KEY, call_id), ("x-odd", value))

    assert answer.grpc_status is not None or answer.resets
    assert len(target.backend.calls[call_id].values("x-odd")) <= 1
    await still_serves(target)


async def test_line_ends_inject_no_header(target: Target) -> None:
    call_id = new_call_id()
    await ask(target, (CALL_ID_KEY, call_id), ("x-odd", "a\r\nx-injected: yes"))

    assert target.backend.calls[call_id].values("x-injected") == []
    await still_serves(target)


@pytest.mark.parametrize("key", ["X-Upper", "x with space", "x\u00e9", "x:colon", ""])
async def test_keys_that_are_not_allowed(target: Target, key: str) -> None:
    call_id = new_call_id()
    await ask_on_a_connection_that_may_end(target, (CALL_ID_KEY, call_id), (key, "1"))

    assert key not in [name for name, _ in target.backend.calls[call_id].metadata]
    await still_serves(target)


async def ask_on_a_connection_that_may_end(target: Target, *extra: tuple[str, str]) -> None:
    """Make a call that HTTP/2 itself forbids: the server may answer it, reset it or end the connection."""
    async with WireClient(target.address) as wire:
        answer = await wire.call(UNARY, *extra, body=GOOD)
        assert answer.frames != ()


@pytest.mark.headway_only
@pytest.mark.parametrize("key", ["connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding"])
async def test_hop_by_hop_names_end_at_this_hop(target: Target, key: str) -> None:
    call_id = new_call_id()
    await ask_on_a_connection_that_may_end(target, (CALL_ID_KEY, call_id), (key, "keep-alive"))

    assert target.backend.calls[call_id].values(key) == []
    await still_serves(target)


@pytest.mark.parametrize("key", ["grpc-unknown", "grpc-status", "grpc-internal-encoding-request", "grpc-tags-bin"])
async def test_reserved_names_do_no_harm(target: Target, key: str) -> None:
    """`grpc-` is gRPC's own prefix: what is in it is ignored or refused, and never changes the answer."""
    answer = await ask(target, (key, "AAAA"))

    assert answer.grpc_status in {OK, INTERNAL}
    await still_serves(target)


@pytest.mark.headway_only
@pytest.mark.parametrize("key", ["headway-token", "headway-deadline", "headway-class", "priority"])
async def test_a_client_cannot_speak_for_the_proxy(target: Target, key: str) -> None:
    """The tunnel's own headers, sent by a client, neither break the call nor reach the backend."""
    call_id = new_call_id()
    answer = await ask(target, (CALL_ID_KEY, call_id), (key, "forged"))

    assert answer.grpc_status == OK
    assert "forged" not in [value for _, value in target.backend.calls[call_id].metadata]
    assert "forged" not in [value for frame in answer.headers for _, value in frame.pairs]


@pytest.mark.headway_only
@pytest.mark.parametrize("key", ["x-headway-class", "x-headway-slack-ms"])
async def test_a_client_cannot_write_the_trailers(target: Target, key: str) -> None:
    """What headway adds to an answer is headway's word, whatever the request says under the same name."""
    answer = await ask(target, (key, "forged"))

    assert answer.grpc_status == OK
    assert "forged" not in [value for frame in answer.headers for _, value in frame.pairs]


@pytest.mark.parametrize(
    "trace",
    [
        (("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"), ("tracestate", "vendor=1"), ("baggage", "user=a")),
        (("traceparent", "zz"),),
        (("traceparent", ""),),
        (("traceparent", f"00-{'0' * 32}-{'0' * 16}-01"),),
        (("traceparent", f"ff-{TRACE_ID}-{SPAN_ID}-01"),),
        (("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"), ("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-00")),
        (("tracestate", "=,=,;"), ("baggage", "%%%;;;===,")),
        (("baggage", "k=" + "v" * 6000),),
        (("grpc-trace-bin", "AA"),),
    ],
    ids=["good", "short", "empty", "zeros", "version", "two", "garbage", "large_baggage", "trace_bin"],
)
async def test_trace_context_never_affects_the_call(target: Target, trace: tuple[tuple[str, str], ...]) -> None:
    answer = await ask(target, *trace)

    assert answer.grpc_status == OK
    assert [pb.CallResponse.FromString(message).payload for _, message in answer.messages] == [b"good"]


async def test_what_a_backend_s_metadata_may_hold(path: Path) -> None:
    """A server that pads its base64 and repeats its keys: values are the same when they reach the client."""

    async def script(call: WireCall) -> None:
        await call.body()
        call.stream.send_headers(
            [(":status", "200"), ("content-type", "application/grpc"), ("x-a", "1"), ("x-a", "2"), ("x-b-bin", "AP8=")]
        )
        call.stream.send_data(framed(b"message"))
        call.stream.send_headers([("grpc-status", "0"), ("x-c-bin", "AP8Q"), ("x-d", " padded ")], end_stream=True)

    async with WireServer(script) as server, path.open(server.address) as address, WireClient(address) as wire:
        answer = await wire.call("/any.Service/Method", body=framed(b""))

    first, last = answer.headers
    assert first.values("x-a") == ["1", "2"]
    assert [value.rstrip("=") for value in first.values("x-b-bin")] == ["AP8"]
    assert last.values("x-c-bin") == ["AP8Q"]
    assert [value.strip() for value in last.values("x-d")] == ["padded"]
