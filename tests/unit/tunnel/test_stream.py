from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.errors import Code, H3Code, TunnelProtocolError
from proxy.tunnel.exchange import CallStatus, InitialMetadata
from proxy.tunnel.headers import TunnelRequest
from proxy.tunnel.messages import DecodedMessage
from proxy.tunnel.metadata import Headers
from proxy.tunnel.stream import AnswerReader, CallEvent, Half, HalfState, Input, RequestReader

POST: Headers = [
    (b":method", b"POST"),
    (b":path", b"/s/m"),
    (b"content-type", b"application/grpc"),
    (b"k", b"v"),
]
REQUEST = TunnelRequest("/s/m", (("k", "v"),), "", None, None, b"", "", "identity")
ANSWER: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"k", b"v")]
TRAILERS: Headers = [(b"grpc-status", b"0"), (b"t", b"1")]
TRAILERS_ONLY: Headers = [*ANSWER[:2], (b"grpc-status", b"5"), (b"grpc-message", b"gone"), (b"t", b"1")]
MESSAGE = b"\x00\x00\x00\x00\x03abc"

LEGAL = {
    (Half.IDLE, Input.HEADERS): Half.OPEN,
    (Half.IDLE, Input.STATUS): Half.ENDED,
    (Half.IDLE, Input.BREAK): Half.BROKEN,
    (Half.OPEN, Input.MESSAGE): Half.OPEN,
    (Half.OPEN, Input.STATUS): Half.ENDED,
    (Half.OPEN, Input.END): Half.ENDED,
    (Half.OPEN, Input.BREAK): Half.BROKEN,
}
WAY_TO = {
    Half.IDLE: (),
    Half.OPEN: (Input.HEADERS,),
    Half.ENDED: (Input.HEADERS, Input.END),
    Half.BROKEN: (Input.BREAK,),
}


def half_at(state: Half) -> HalfState:
    half = HalfState()
    for event in WAY_TO[state]:
        half.advance(event)
    return half


class TestTable:
    @pytest.mark.parametrize(("state", "event"), list(LEGAL))
    def test_legal(self, state: Half, event: Input) -> None:
        half = half_at(state)
        half.advance(event)
        assert half.state is LEGAL[state, event]

    @pytest.mark.parametrize(("state", "event"), [(s, e) for s in Half for e in Input if (s, e) not in LEGAL])
    def test_anything_else_raises_and_changes_nothing(self, state: Half, event: Input) -> None:
        half = half_at(state)
        with pytest.raises(TunnelProtocolError, match=f"{event.name} on a stream that is {state.name}") as caught:
            half.advance(event)
        assert half.state is state
        assert caught.value.h3_code is H3Code.FRAME_UNEXPECTED

    @pytest.mark.parametrize(("state", "over"), [("IDLE", False), ("OPEN", False), ("ENDED", True), ("BROKEN", True)])
    def test_where_nothing_more_happens(self, state: str, over: bool) -> None:
        half = half_at(Half[state])
        assert half.is_over is over
        assert repr(half) == state


class TestAnswer:
    @pytest.fixture
    def reader(self) -> AnswerReader:
        return AnswerReader(peer="daemon gpu:4433", max_message_bytes=1024)

    def test_from_headers_to_trailers(self, reader: AnswerReader) -> None:
        assert list(reader.headers(ANSWER, ended=False)) == [InitialMetadata((("k", "v"),))]
        assert list(reader.data(MESSAGE[:4], ended=False)) == []
        assert list(reader.data(MESSAGE[4:] + MESSAGE, ended=False)) == [DecodedMessage(b"abc", 8)] * 2
        assert list(reader.headers(TRAILERS, ended=True)) == [CallStatus(0, "", (("t", "1"),))]
        assert repr(reader) == "<AnswerReader ENDED <MessageDecoder prefix 0/5>>"

    @pytest.mark.parametrize("ended", [True, False])
    def test_the_end_may_come_after_the_trailers(self, reader: AnswerReader, ended: bool) -> None:
        """HTTP/3 has no end flag on HEADERS; the FIN may be in a packet of its own."""
        reader.headers(ANSWER, ended=False)
        assert list(reader.headers(TRAILERS, ended=ended)) == [CallStatus(0, "", (("t", "1"),))]
        assert list(reader.data(b"", ended=True)) == []

    @pytest.mark.parametrize("ended", [True, False])
    def test_trailers_only(self, reader: AnswerReader, ended: bool) -> None:
        events = list(reader.headers(TRAILERS_ONLY, ended=ended))
        assert events == [CallStatus(Code.NOT_FOUND, "gone", (("t", "1"),))]
        assert list(reader.data(b"", ended=True)) == []
        assert reader.half.state is Half.ENDED

    def test_a_compressed_answer(self, reader: AnswerReader) -> None:
        reader.headers([*ANSWER, (b"grpc-encoding", b"deflate")], ended=False)
        compressed = bytes.fromhex("01 0000000b 789c4b4c4a0600024d0127")
        assert list(reader.data(compressed, ended=False)) == [DecodedMessage(b"abc", 16)]

    def test_the_limit(self, reader: AnswerReader) -> None:
        reader.headers(ANSWER, ended=False)
        with pytest.raises(TunnelProtocolError, match="larger than max") as caught:
            reader.data(b"\x00\x00\x00\x04\x01", ended=False)
        assert caught.value.code is Code.RESOURCE_EXHAUSTED

    @pytest.mark.parametrize(
        "end",
        [
            lambda reader: reader.headers(ANSWER, ended=True),
            lambda reader: [*reader.headers(ANSWER, ended=False), *reader.data(b"", ended=True)],
            lambda reader: [*reader.headers(ANSWER, ended=False), *reader.data(MESSAGE, ended=True)],
            lambda reader: [*reader.headers(ANSWER, ended=False), *reader.data(MESSAGE[:6], ended=True)],
            lambda reader: reader.data(b"", ended=True),
        ],
        ids=["with the headers", "after the headers", "with a message", "within a message", "before the headers"],
    )
    def test_an_end_without_a_status_is_internal(
        self, reader: AnswerReader, end: Callable[[AnswerReader], list[CallEvent]]
    ) -> None:
        *_, last = end(reader)
        assert last == CallStatus(Code.INTERNAL, "daemon gpu:4433 ended the answer without a status")
        assert reader.half.state is Half.BROKEN

    def test_a_status_within_a_message_is_internal(self, reader: AnswerReader) -> None:
        reader.headers(ANSWER, ended=False)
        reader.data(MESSAGE[:6], ended=False)
        assert list(reader.headers(TRAILERS, ended=True)) == [
            CallStatus(Code.INTERNAL, "daemon gpu:4433 ended the answer within a message")
        ]

    def test_data_before_the_headers(self, reader: AnswerReader) -> None:
        with pytest.raises(TunnelProtocolError, match="MESSAGE on a stream that is IDLE"):
            reader.data(MESSAGE, ended=False)

    def test_data_after_the_status(self, reader: AnswerReader) -> None:
        reader.headers(TRAILERS_ONLY, ended=False)
        with pytest.raises(TunnelProtocolError, match="MESSAGE on a stream that is ENDED"):
            reader.data(MESSAGE, ended=False)

    def test_headers_after_the_status(self, reader: AnswerReader) -> None:
        reader.headers(TRAILERS_ONLY, ended=False)
        with pytest.raises(TunnelProtocolError, match="STATUS on a stream that is ENDED"):
            reader.headers(TRAILERS, ended=True)

    def test_an_encoding_that_was_not_offered_opens_nothing(self, reader: AnswerReader) -> None:
        with pytest.raises(TunnelProtocolError, match="not offered"):
            reader.headers([*ANSWER, (b"grpc-encoding", b"br")], ended=False)
        assert reader.half.state is Half.IDLE

    @pytest.mark.parametrize(
        ("error_code", "code", "retryable"),
        [
            (0x10B, Code.UNAVAILABLE, True),
            (0x10C, Code.CANCELLED, False),
            (0x107, Code.RESOURCE_EXHAUSTED, False),
            (0x102, Code.INTERNAL, False),
        ],
    )
    def test_a_reset(self, reader: AnswerReader, error_code: int, code: Code, retryable: bool) -> None:
        reader.headers(ANSWER, ended=False)
        text = f"daemon gpu:4433 reset the stream with HTTP/3 error 0x{error_code:x}"
        assert reader.broken(error_code) == CallStatus(code, text, retryable=retryable)
        assert reader.half.state is Half.BROKEN


class TestRequest:
    @pytest.fixture
    def reader(self) -> RequestReader:
        return RequestReader(max_message_bytes=1024)

    def test_from_headers_to_the_half_close(self, reader: RequestReader) -> None:
        assert list(reader.headers(POST, ended=False)) == [REQUEST]
        assert list(reader.data(MESSAGE + MESSAGE[:5], ended=False)) == [DecodedMessage(b"abc", 8)]
        assert list(reader.data(MESSAGE[5:], ended=True)) == [DecodedMessage(b"abc", 8), None]
        assert repr(reader) == "<RequestReader ENDED <MessageDecoder prefix 0/5>>"

    def test_a_request_without_messages(self, reader: RequestReader) -> None:
        assert list(reader.headers(POST, ended=True)) == [REQUEST, None]

    def test_the_half_close_alone(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=False)
        assert list(reader.data(b"", ended=True)) == [None]
        assert reader.half.state is Half.ENDED

    def test_trailers_of_a_request_mean_nothing(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=False)
        assert list(reader.headers([(b"t", b"1")], ended=False)) == []
        assert list(reader.headers([(b"t", b"1")], ended=True)) == [None]

    def test_an_end_within_a_message(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=False)
        with pytest.raises(TunnelProtocolError, match="the request ended within a message") as caught:
            reader.data(MESSAGE[:6], ended=True)
        assert caught.value.code is Code.INTERNAL
        assert reader.half.state is Half.OPEN

    def test_the_encoding_of_the_headers_holds_for_the_messages(self, reader: RequestReader) -> None:
        reader.headers([*POST, (b"grpc-encoding", b"deflate")], ended=False)
        compressed = bytes.fromhex("01 0000000b 789c4b4c4a0600024d0127")
        assert list(reader.data(compressed, ended=False)) == [DecodedMessage(b"abc", 16)]

    def test_what_is_said_of_when_an_answer_is_due_holds_for_the_next_message_only(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=False)
        reader.due(7.5)
        assert list(reader.data(MESSAGE[:4], ended=False)) == []
        assert list(reader.data(MESSAGE[4:] + MESSAGE, ended=False)) == [
            DecodedMessage(b"abc", 8, due_at=7.5),
            DecodedMessage(b"abc", 8),
        ]

    def test_a_compressed_message_without_an_encoding(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=False)
        with pytest.raises(TunnelProtocolError, match="without grpc-encoding"):
            reader.data(b"\x01\x00\x00\x00\x01x", ended=False)

    def test_nothing_comes_after_the_half_close(self, reader: RequestReader) -> None:
        reader.headers(POST, ended=True)
        with pytest.raises(TunnelProtocolError, match="HEADERS on a stream that is ENDED"):
            reader.headers(POST, ended=False)
        with pytest.raises(TunnelProtocolError, match="MESSAGE on a stream that is ENDED"):
            reader.data(MESSAGE, ended=False)
        assert reader.half.state is Half.ENDED

    def test_data_before_the_headers(self, reader: RequestReader) -> None:
        with pytest.raises(TunnelProtocolError, match="MESSAGE on a stream that is IDLE"):
            reader.data(MESSAGE, ended=False)

    @pytest.mark.parametrize(("ended", "state"), [(False, Half.BROKEN), (True, Half.ENDED)])
    def test_a_reset_breaks_what_has_not_ended(self, reader: RequestReader, ended: bool, state: Half) -> None:
        reader.headers(POST, ended=ended)
        reader.broken()
        reader.broken()
        assert reader.half.state is state


class TestStages:
    """What the daemon tells at the answer's end of when the call passed it."""

    def test_it_is_there_once_the_answer_has_ended(self) -> None:
        reader = AnswerReader(peer="daemon d", max_message_bytes=100)
        list(reader.headers(ANSWER, ended=False))
        assert reader.stages == b""
        [status] = reader.headers([*TRAILERS, (b"headway-stages", b"1;;;;;2")], ended=True)
        assert status == CallStatus(0, "", (("t", "1"),))
        assert reader.stages == b"1;;;;;2"

    def test_an_answer_that_is_its_end_has_it_too(self) -> None:
        reader = AnswerReader(peer="daemon d", max_message_bytes=100)
        [status] = reader.headers([*TRAILERS_ONLY, (b"headway-stages", b"1;;;;;2")], ended=True)
        assert status == CallStatus(5, "gone", (("t", "1"),))
        assert reader.stages == b"1;;;;;2"

    def test_a_message_has_begun_until_it_is_complete(self) -> None:
        reader = AnswerReader(peer="daemon d", max_message_bytes=100)
        list(reader.headers(ANSWER, ended=False))
        seen = []
        for part in (b"", MESSAGE[:6], MESSAGE[6:]):
            list(reader.data(part, ended=False))
            seen.append(reader.has_begun_message)
        assert seen == [False, True, False]
