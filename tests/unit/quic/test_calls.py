"""Calls on streams in virtual time, each side against raw bytes from the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.round_robin import RoundRobin
from policies.traffic import Deadline, TrafficClass
from proxy.errors import Code
from proxy.quic.calls import StreamIncomingCall, StreamOutgoingCall
from proxy.quic.endpoint import Endpoint, StreamUser
from proxy.quic.limits import FlowLimits
from proxy.testing.memory_link import LinkSettings
from proxy.tunnel.answer_deadlines import AnswerDeadlines
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, InitialMetadata
from proxy.tunnel.frames import deadline_frame, encode_varint
from proxy.tunnel.gate import PeerClock
from proxy.tunnel.headers import TunnelRequest, encode_request
from proxy.tunnel.metadata import Headers
from tests.unit.quic.endpoints import Heard, Joined, joined

HEAD: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK_TRAILERS: Headers = [(b"grpc-status", b"0")]
PEER = "daemon localhost:4433"


def frame(frame_type: int, payload: bytes) -> bytes:
    return encode_varint(frame_type) + encode_varint(len(payload)) + payload


def message(data: bytes) -> bytes:
    return frame(0, b"\0" + len(data).to_bytes(4, "big") + data)


def section(endpoint: Endpoint, stream_id: int, headers: Headers) -> bytes:
    assert endpoint.http is not None
    return endpoint.http.headers_frame(stream_id, headers)


async def settle(seconds: float = 0.2) -> None:
    await asyncio.sleep(seconds)


# The caller's side


@dataclass
class Calling:
    """A call of ours and the raw end of its stream at the daemon."""

    ends: Joined
    call: StreamOutgoingCall

    @property
    def heard(self) -> Heard:
        return self.ends.heard[self.call.stream_id]

    def answer(self, data: bytes, *, end: bool = False) -> None:
        self.ends.write(self.ends.server, self.call.stream_id, data, end=end)

    def section(self, headers: Headers) -> bytes:
        return section(self.ends.server, self.call.stream_id, headers)

    async def events(self) -> list[object]:
        """Everything up to the status."""
        found: list[object] = []
        async with asyncio.timeout(5):
            while True:
                found.append(event := await self.call.receive())
                if isinstance(event, CallStatus):
                    return found


def make_call(ends: Joined, *, max_message_bytes: int = 1 << 20) -> StreamOutgoingCall:
    stream_id = ends.client.connection.open_stream()
    call = StreamOutgoingCall(ends.client, stream_id, address="localhost:4433", max_message_bytes=max_message_bytes)
    call.start(encode_request(CallHead("/a.B/C"), authority="localhost:4433", token=b"", priority=0, now=0.0))
    return call


@asynccontextmanager
async def calling(certs: Path, **settings: object) -> AsyncIterator[Calling]:
    async with joined(certs, **settings) as ends:  # type: ignore[arg-type]
        call = make_call(ends)
        await call.send(b"request")
        await settle()
        yield Calling(ends, call)


async def test_an_answer_is_the_same_however_it_is_cut(certs: Path) -> None:
    async with calling(certs) as there:
        whole = (
            there.section([*HEAD, (b"x-key", b"value")])
            + message(b"one")
            + frame(0x21, b"greased")  # a reserved type (RFC 9114 section 7.2.8)
            + message(b"")
            + there.section([*OK_TRAILERS, (b"x-end", b"there")])
        )
        for byte in whole:
            there.answer(bytes([byte]))
            await asyncio.sleep(0.001)
        there.answer(b"", end=True)
        assert await there.events() == [
            InitialMetadata((("x-key", "value"),)),
            b"one",
            b"",
            CallStatus(Code.OK, metadata=(("x-end", "there"),)),
        ]


async def test_an_answer_of_trailers_only_has_no_headers(certs: Path) -> None:
    async with calling(certs) as there:
        there.answer(there.section([*HEAD, (b"grpc-status", b"5"), (b"grpc-message", b"no%20model")]), end=True)
        assert await there.events() == [CallStatus(Code.NOT_FOUND, "no model")]


@pytest.mark.parametrize(
    ("h3_code", "code", "retryable"),
    [
        (0x100, Code.INTERNAL, False),
        (0x102, Code.INTERNAL, False),
        (0x107, Code.RESOURCE_EXHAUSTED, False),
        (0x10B, Code.UNAVAILABLE, True),
        (0x10C, Code.CANCELLED, False),
        (0x1234, Code.INTERNAL, False),
    ],
)
async def test_a_reset_answer(certs: Path, h3_code: int, code: Code, retryable: bool) -> None:
    async with calling(certs) as there:
        there.ends.server.abort(there.call.stream_id, h3_code)
        text = f"{PEER} reset the stream with HTTP/3 error 0x{h3_code:x}"
        assert await there.events() == [CallStatus(code, text, retryable=retryable)]


def no_headers(there: Calling) -> tuple[bytes, bool]:
    return message(b"x"), False


def settings_frame(there: Calling) -> tuple[bytes, bool]:
    return frame(0x4, b""), False


def ends_in_a_frame(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + message(b"abc")[:-1], True


def ends_in_a_message(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + frame(0, b"\0\0\0\0\x05abc") + there.section(OK_TRAILERS), True


def ends_without_status(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + message(b"abc"), True


def too_large(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + frame(0, b"\0" + (1 << 20 | 1).to_bytes(4, "big")), False


def four_gigabytes(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + frame(0, b"\0\xff\xff\xff\xff" + b"ten  bytes"), False


def compressed_flag(there: Calling) -> tuple[bytes, bool]:
    return there.section(HEAD) + frame(0, b"\x01\0\0\0\x01x"), False


def not_qpack(there: Calling) -> tuple[bytes, bool]:
    return frame(0x1, b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), False


def dynamic_table(there: Calling) -> tuple[bytes, bool]:
    return frame(0x1, b"\x02\0\x80"), False  # an entry of a table that we said has no room


def long_headers(there: Calling) -> tuple[bytes, bool]:
    return encode_varint(1) + encode_varint(65537), False


def http_error(there: Calling) -> tuple[bytes, bool]:
    return there.section([(b":status", b"503"), (b"content-type", b"text/html")]), True


Broken = Callable[[Calling], tuple[bytes, bool]]


@pytest.mark.parametrize(
    ("broken", "code", "text"),
    [
        (no_headers, Code.INTERNAL, "MESSAGE on a stream that is IDLE"),
        (settings_frame, Code.INTERNAL, "frame type 0x4 on a request stream"),
        (ends_in_a_frame, Code.INTERNAL, "the stream ended within a frame"),
        (ends_in_a_message, Code.INTERNAL, f"{PEER} ended the answer within a message"),
        (ends_without_status, Code.INTERNAL, f"{PEER} ended the answer without a status"),
        (too_large, Code.RESOURCE_EXHAUSTED, "Received message larger than max (1048577 vs. 1048576)"),
        (four_gigabytes, Code.RESOURCE_EXHAUSTED, "Received message larger than max (4294967295 vs. 1048576)"),
        (compressed_flag, Code.INTERNAL, "compressed message on a call without grpc-encoding"),
        (not_qpack, Code.INTERNAL, "the header section can't be decoded"),
        (dynamic_table, Code.INTERNAL, "the header section can't be decoded"),
        (long_headers, Code.RESOURCE_EXHAUSTED, "a header section of 65537 bytes exceeds 65536"),
        (http_error, Code.UNAVAILABLE, "the peer answered with HTTP status 503 and no grpc-status"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_broken_answer_ends_its_call_and_no_other(certs: Path, broken: Broken, code: Code, text: str) -> None:
    async with calling(certs) as there:
        other = Calling(there.ends, make_call(there.ends))
        await settle()
        data, end = broken(there)
        there.answer(data, end=end)
        status = (await there.events())[-1]
        assert isinstance(status, CallStatus)
        assert (status.code, status.message, status.retryable) == (code, text, False)
        other.answer(other.section(HEAD) + message(b"fine") + other.section(OK_TRAILERS), end=True)
        assert await other.events() == [InitialMetadata(), b"fine", CallStatus(Code.OK)]
        await settle()
        assert there.heard.resets or there.heard.ended or there.heard.stops
        assert there.ends.ends == []


async def test_a_cancelled_call_is_given_up_on_both_halves_and_hears_nothing_more(certs: Path) -> None:
    async with calling(certs) as there:
        there.answer(there.section(HEAD) + message(b"early"))
        await settle()
        there.call.cancel()
        there.call.cancel()
        there.answer(message(b"too late"))
        await there.call.send(b"nobody wants it")
        await there.call.close_sending()
        await settle()
        assert (there.heard.resets, there.heard.stops) == ([0x10C], [0x10C])
        assert (await there.events())[-1] == CallStatus(Code.CANCELLED, "cancelled by the caller")
        assert there.ends.client.users == 0


async def test_a_callee_that_wants_no_more_of_the_request_is_still_heard(certs: Path) -> None:
    async with calling(certs) as there:
        there.ends.server.connection.stop_stream(there.call.stream_id, 0x100)
        there.ends.server.flush_soon()
        await settle()
        await there.call.send(b"dropped")
        there.answer(there.section(HEAD) + message(b"early answer") + there.section(OK_TRAILERS), end=True)
        assert await there.events() == [InitialMetadata(), b"early answer", CallStatus(Code.OK)]


async def test_an_answer_before_the_request_is_over_ends_the_request(certs: Path) -> None:
    async with calling(certs) as there:
        there.answer(there.section([*HEAD, (b"grpc-status", b"3")]), end=True)
        assert await there.events() == [CallStatus(Code.INVALID_ARGUMENT)]
        await there.call.send(b"dropped")
        await settle()
        assert there.heard.resets == [0x100]


async def test_a_lost_connection_is_unavailable_and_names_the_daemon(certs: Path) -> None:
    async with calling(certs) as there:
        there.ends.client.lose("Connection refused")
        assert await there.events() == [CallStatus(Code.UNAVAILABLE, f"{PEER}: Connection refused")]
        await there.call.send(b"dropped")


async def test_of_calls_past_a_goaway_it_is_known_that_they_never_began(certs: Path) -> None:
    async with joined(certs) as ends:
        begun, unbegun = make_call(ends), make_call(ends)
        await settle()
        assert ends.server.http is not None
        ends.server.http.send_goaway(unbegun.stream_id)
        ends.server.flush_soon()
        await settle()
        ends.server.close(reason="daemon closes")
        found = [await Calling(ends, call).events() for call in (begun, unbegun)]
        text = f"{PEER}: daemon closes"
        assert found == [
            [CallStatus(Code.UNAVAILABLE, text)],
            [CallStatus(Code.UNAVAILABLE, text, retryable=True)],
        ]


async def test_a_refusal_of_a_daemon_that_drains_may_be_tried_elsewhere(certs: Path) -> None:
    async with calling(certs) as there:
        reason = (b"x-headway-dropped-reason", b"rejected-shutting-down")
        there.answer(there.section([*HEAD, (b"grpc-status", b"14"), reason]), end=True)
        [status] = await there.events()
        assert isinstance(status, CallStatus)
        assert (status.code, status.retryable) == (Code.UNAVAILABLE, True)


async def test_a_writer_waits_while_the_link_is_slow(certs: Path) -> None:
    slow = LinkSettings(delay_s=0.01, rate_bytes_s=100_000)
    async with calling(certs, link=slow) as there:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        for _ in range(8):
            await there.call.send(bytes(100_000))
        # 800 kB at 100 kB/s, of which 256 KiB may wait unsent and a congestion window may be on its way
        assert 4.0 < loop.time() - began_at < 6.5
        assert there.ends.client.connection.unsent_bytes(there.call.stream_id) <= 256 * 1024


async def test_a_waiting_writer_is_woken_when_the_call_is_over(certs: Path) -> None:
    slow = LinkSettings(delay_s=0.01, rate_bytes_s=1000)
    async with calling(certs, link=slow) as there:
        writer = asyncio.get_running_loop().create_task(there.call.send(bytes(500_000)))
        await settle()
        assert not writer.done()
        there.call.cancel()
        async with asyncio.timeout(1):
            await writer


async def test_headers_can_wait_for_the_first_message(certs: Path) -> None:
    async with joined(certs) as ends:
        sent = ends.network.uplink.statistics().sent
        call = StreamOutgoingCall(
            ends.client, ends.client.connection.open_stream(), address="localhost:4433", max_message_bytes=100
        )
        headers = encode_request(CallHead("/a.B/C"), authority="localhost:4433", token=b"", priority=0, now=0.0)
        call.start(headers, hold=True)
        await settle()
        assert ends.network.uplink.statistics().sent == sent
        await call.send(b"request", last=True)
        await settle()
        assert ends.heard[call.stream_id].ended
        assert bytes(ends.heard[call.stream_id].data).endswith(message(b"request"))


async def test_repr_of_the_callers_side(certs: Path) -> None:
    async with calling(certs) as there:
        assert repr(there.call) == (
            "<StreamOutgoingCall 0 sending=OPEN queued=0 <AnswerReader IDLE <MessageDecoder prefix 0/5>>>"
        )
        assert there.call.peer == "localhost:4433"


# The called side


@dataclass
class Called:
    """A call that came in, and the raw end of its stream at the proxy."""

    ends: Joined
    calls: dict[int, StreamIncomingCall] = field(default_factory=dict)
    requests: list[TunnelRequest] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    stream_id: int = 0
    heard: Heard = field(default_factory=Heard)

    @property
    def call(self) -> StreamIncomingCall:
        return self.calls[self.stream_id]

    def request(self, data: bytes, *, end: bool = False) -> None:
        self.ends.write(self.ends.client, self.stream_id, data, end=end)

    def section(self, *extra: tuple[bytes, bytes]) -> bytes:
        headers = encode_request(CallHead("/a.B/C"), authority="localhost:4433", token=b"", priority=0, now=0.0)
        return section(self.ends.client, self.stream_id, [*headers, *extra])

    def another(self) -> Called:
        stream_id, heard = self.ends.open()
        return Called(self.ends, self.calls, self.requests, self.cancelled, stream_id, heard)

    def answer(self) -> list[tuple[int, object]]:
        """The frames that came back, header sections decoded."""
        assert self.ends.client.http is not None
        data = bytes(self.heard.data)
        found: list[tuple[int, object]] = []
        while data:
            frame_type, length_bits, short = data[0], data[1] >> 6, data[1] & 0x3F
            size = 1 << length_bits
            length = int.from_bytes(bytes([short]) + data[2 : 1 + size], "big")
            payload, data = data[1 + size : 1 + size + length], data[1 + size + length :]
            decoded = self.ends.client.http.read_headers(self.stream_id, payload) if frame_type == 1 else payload
            found.append((frame_type, decoded))
        return found


@asynccontextmanager
async def called(certs: Path, *, max_message_bytes: int = 1 << 20, **settings: object) -> AsyncIterator[Called]:
    calls: dict[int, StreamIncomingCall] = {}
    requests: list[TunnelRequest] = []
    cancelled: list[int] = []

    def on_request(call: StreamIncomingCall, request: TunnelRequest) -> Callable[[], object]:
        requests.append(request)
        call.begin(CallHead(request.path, request.metadata))
        return lambda: cancelled.append(call.stream_id)

    def accept(endpoint: Endpoint, stream_id: int) -> StreamUser:
        call = StreamIncomingCall(endpoint, stream_id, max_message_bytes=max_message_bytes, on_request=on_request)
        calls[stream_id] = call
        return call

    async with joined(certs, accept=accept, **settings) as ends:  # type: ignore[arg-type]
        stream_id, heard = ends.open()
        yield Called(ends, calls, requests, cancelled, stream_id, heard)


async def test_a_request_is_the_same_however_it_is_cut(certs: Path) -> None:
    async with called(certs) as here:
        whole = here.section((b"x-key", b"value")) + message(b"one") + frame(0x21, b"greased") + message(b"")
        for byte in whole:
            here.request(bytes([byte]))
            await asyncio.sleep(0.001)
        here.request(b"", end=True)
        await settle()
        assert here.call.head == CallHead("/a.B/C", (("x-key", "value"),))
        assert [await here.call.receive() for _ in range(4)] == [b"one", b"", None, None]


async def test_an_answer_of_each_shape(certs: Path) -> None:
    async with called(certs) as here:
        trailers_only, with_headers = here.another(), here.another()
        for each in (here, trailers_only, with_headers):
            each.request(each.section() + message(b"request"), end=True)
        await settle()
        await here.call.send(b"answer")
        await here.call.finish(CallStatus(Code.OK, metadata=(("x-end", "there"),)))
        await trailers_only.call.finish(CallStatus(Code.NOT_FOUND, "no model"))
        await with_headers.call.send_initial_metadata((("x-start", "here"),))
        await with_headers.call.send_initial_metadata((("x-start", "twice is once"),))
        await with_headers.call.finish(CallStatus(Code.OK))
        await with_headers.call.finish(CallStatus(Code.INTERNAL, "twice is once"))
        await settle()
        trailers = [*OK_TRAILERS, (b"x-end", b"there")]
        assert here.answer() == [(1, HEAD), (0, b"\0\0\0\0\x06answer"), (1, trailers)]
        assert trailers_only.answer() == [(1, [*HEAD, (b"grpc-status", b"5"), (b"grpc-message", b"no model")])]
        assert with_headers.answer() == [(1, [*HEAD, (b"x-start", b"here")]), (1, OK_TRAILERS)]
        assert all(each.heard.ended for each in (here, trailers_only, with_headers))
        assert here.ends.server.users == 0


class Hears(RoundRobin):
    """Keeps the deadlines that it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[float] = []

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.deadlines.append(order.deadline)
        super().add(order, unsent_bytes=unsent_bytes, now=now)


async def test_messages_and_status_of_an_answer_have_the_deadlines_that_are_set(certs: Path) -> None:
    async with called(certs) as here:
        here.request(here.section() + message(b"request"), end=True)
        await settle()
        now, connection = here.ends.server.port.now(), here.ends.server.connection
        call, stream_id = here.call, here.stream_id
        call.begin(call.head, AnswerDeadlines(Deadline(now + 5.0), TrafficClass("tokens", 5.0, token_deadline_s=2.0)))
        connection.order_stream(StreamOrder(stream_id, arrived_at=now, deadline=now + 5.0), now=now)
        connection.use_scheduler(hears := Hears(), now=now)
        await call.send_initial_metadata(())
        for _ in range(3):
            await call.send(b"token")
            await asyncio.sleep(1.0)
        await call.finish(CallStatus(Code.OK))
        await settle()
        # Each is sent at once: the headers and the first message together, by the call's deadline.
        expected = [5.0, 5.0, 2.0, 3.0, 4.0]
        assert [deadline - now for deadline in hears.deadlines] == pytest.approx(expected, abs=0.01)
        assert here.answer()[-1] == (1, OK_TRAILERS)


async def test_what_answers_a_later_request_of_a_stream_is_due_when_that_is(certs: Path) -> None:
    async with called(certs) as here:
        now, connection = here.ends.server.port.now(), here.ends.server.connection
        here.request(here.section() + deadline_frame(now + 5.0) + message(b"request"))
        await settle()
        call, stream_id = here.call, here.stream_id
        clock, head = PeerClock(), call.head._replace(times=CallTimes())
        clock.measured(0.0)
        call.begin(head, AnswerDeadlines(Deadline(now + 5.0), TrafficClass("whole", 5.0)), clock=clock)
        connection.order_stream(StreamOrder(stream_id, arrived_at=now, deadline=now + 5.0), now=now)
        connection.use_scheduler(hears := Hears(), now=now)
        assert await call.receive() == b"request"
        await call.send(b"answer")
        await asyncio.sleep(20.0)
        here.request(deadline_frame(now + 25.0) + message(b"again"), end=True)
        await settle()
        assert await call.receive() == b"again"
        await call.send(b"answer")
        await call.finish(CallStatus(Code.OK))
        await settle()
        assert [deadline - now for deadline in hears.deadlines] == pytest.approx([5.0, 25.0, 25.0], abs=0.01)


async def test_an_early_status_stops_the_request_and_arrives_whatever_is_lost(certs: Path) -> None:
    async with called(certs) as here:
        here.request(here.section() + message(b"request"))
        await settle()
        here.ends.network.downlink.lose_next(1)
        await here.call.finish(CallStatus(Code.INVALID_ARGUMENT, "enough"))
        await settle(1.0)
        assert here.answer() == [(1, [*HEAD, (b"grpc-status", b"3"), (b"grpc-message", b"enough")])]
        assert (here.heard.ended, here.heard.stops, here.heard.resets) == (True, [0x100], [])


async def test_a_call_can_be_given_back(certs: Path) -> None:
    async with called(certs) as here:
        here.request(here.section() + message(b"request"))
        await settle()
        here.call.reject()
        await settle()
        assert (here.heard.resets, here.heard.stops) == ([0x10B], [0x10B])


@pytest.mark.parametrize("how", ["reset", "stop", "lost"])
async def test_a_caller_that_goes_away_cancels_the_handler(certs: Path, how: str) -> None:
    async with called(certs) as here:
        here.request(here.section() + message(b"request"))
        await settle()
        if how == "reset":
            here.ends.client.connection.reset_stream(here.stream_id, 0x10C)
        elif how == "stop":
            here.ends.client.connection.stop_stream(here.stream_id, 0x10C)
        else:
            here.ends.server.lose("gone")
        here.ends.client.flush_soon()
        await settle()
        assert here.cancelled == [here.stream_id]
        await here.call.send(b"nobody listens")
        await here.call.finish(CallStatus(Code.OK))
        await settle()
        assert here.answer() == []


BAD_REQUESTS: list[tuple[str, list[tuple[bytes, bytes]], bytes, Code, str]] = [
    ("grpc-timeout", [(b"grpc-timeout", b"1x")], b"", Code.INVALID_ARGUMENT, "grpc-timeout '1x' is not 1 to 8 digits"),
    ("grpc-encoding", [(b"grpc-encoding", b"snappy")], b"", Code.UNIMPLEMENTED, "grpc-encoding 'snappy' is not"),
    ("message size", [], message(bytes(1025)), Code.RESOURCE_EXHAUSTED, "larger than max (1025 vs. 1024)"),
    ("compressed", [], frame(0, b"\x01\0\0\0\x01x"), Code.INTERNAL, "compressed message on a call without"),
    ("flag byte", [], frame(0, b"\x07\0\0\0\x01x"), Code.INTERNAL, "message prefix has flag byte 7"),
    ("goaway", [], frame(0x7, b"\0"), Code.INTERNAL, "frame type 0x7 on a request stream"),
    (
        "long headers",
        [],
        encode_varint(1) + encode_varint(65537),
        Code.RESOURCE_EXHAUSTED,
        "of 65537 bytes exceeds 65536",
    ),
]


@pytest.mark.parametrize(
    ("headers", "data", "code", "text"), [bad[1:] for bad in BAD_REQUESTS], ids=[b[0] for b in BAD_REQUESTS]
)
async def test_a_bad_request_is_answered_and_harms_no_other(
    certs: Path, headers: list[tuple[bytes, bytes]], data: bytes, code: Code, text: str
) -> None:
    async with called(certs, max_message_bytes=1024) as here:
        other = here.another()
        other.request(other.section() + message(b"fine"))
        here.request(here.section(*headers) + data)
        await settle()
        [(_, fields)] = here.answer()
        answer = dict(fields)  # type: ignore[call-overload]
        assert answer[b"grpc-status"] == b"%d" % code
        assert text in answer[b"grpc-message"].decode()
        assert here.heard.ended
        assert await other.call.receive() == b"fine"
        await other.call.finish(CallStatus(Code.OK))
        await settle()
        assert other.heard.ended
        assert here.ends.ends == []


async def test_what_is_no_grpc_call_is_answered(certs: Path) -> None:
    async with called(certs) as here:
        get = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
        here.request(section(here.ends.client, here.stream_id, get), end=True)
        await settle()
        [(_, fields)] = here.answer()
        assert (b"grpc-message", b"not a gRPC call: the method is not POST") in fields  # type: ignore[operator]


async def test_an_end_within_a_request_is_answered(certs: Path) -> None:
    async with called(certs) as here:
        here.request(here.section())
        await settle()
        here.request(message(b"request")[:-2], end=True)
        await settle()
        [(_, fields)] = here.answer()
        assert (b"grpc-message", b"the stream ended within a frame") in fields  # type: ignore[operator]
        assert here.cancelled == [here.stream_id]


async def test_a_reader_that_stops_holds_one_window_and_no_other_call(certs: Path) -> None:
    limits = FlowLimits(stream_window_bytes=64 * 1024, connection_window_bytes=1024 * 1024)
    async with called(certs, limits=limits) as here:
        here.request(here.section() + b"".join(message(bytes(10_000)) for _ in range(50)))
        await settle(2.0)
        assert here.ends.client.connection.unsent_bytes(here.stream_id) > 400_000
        other = here.another()
        other.request(other.section() + b"".join(message(bytes(10_000)) for _ in range(50)), end=True)
        received = 0
        await settle()
        while await other.call.receive() is not None:
            received += 1
        assert received == 50
        for _ in range(50):
            assert await here.call.receive() == bytes(10_000)


async def test_a_message_larger_than_the_window_gets_through(certs: Path) -> None:
    limits = FlowLimits(stream_window_bytes=64 * 1024, connection_window_bytes=1024 * 1024)
    async with called(certs, limits=limits) as here:
        here.request(here.section() + message(bytes(1_000_000)), end=True)
        await settle(3.0)
        assert await here.call.receive() == bytes(1_000_000)


async def test_an_answer_waits_while_the_link_is_slow(certs: Path) -> None:
    async with called(certs, link=LinkSettings(delay_s=0.01, rate_bytes_s=100_000)) as here:
        here.request(here.section(), end=True)
        await settle()
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        for _ in range(8):
            await here.call.send(bytes(100_000))
        assert 4.0 < loop.time() - began_at < 6.5


async def test_repr_of_the_called_side(certs: Path) -> None:
    async with called(certs) as here:
        here.request(here.section() + message(b"request"))
        await settle()
        assert repr(here.call) == (
            "<StreamIncomingCall 0 sending=IDLE queued=1 <RequestReader OPEN <MessageDecoder prefix 0/5>>>"
        )
