"""What bytes of a stream mean to the call on it; `test_calls` has whole calls."""

from __future__ import annotations

from typing import Any, cast

import pytest

from proxy.errors import H3Code, TunnelProtocolError
from proxy.quic.stream_call import StreamCall
from proxy.tunnel.frames import DATA, HEADERS, deadline_frame, frame_head
from proxy.tunnel.headers import TunnelRequest
from proxy.tunnel.messages import DecodedMessage
from proxy.tunnel.metadata import Headers
from proxy.tunnel.stream import RequestReader

MESSAGE = frame_head(DATA, 8) + b"\0\0\0\0\x03abc"
HEAD = frame_head(HEADERS, 4) + b"head"


class Http:
    """Reads every header section as that of one request."""

    def read_headers(self, _stream_id: int, _section: bytes) -> Headers:
        return [(b":method", b"POST"), (b":path", b"/a.B/C"), (b"content-type", b"application/grpc")]


class Endpoint:
    http = Http()


@pytest.fixture
def call() -> StreamCall:
    return StreamCall(cast("Any", Endpoint()), 0)


@pytest.fixture
def reader() -> RequestReader:
    return RequestReader(max_message_bytes=100)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_deadline_belongs_to_the_message_behind_it(call: StreamCall, reader: RequestReader, size: int) -> None:
    stream = HEAD + deadline_frame(12.5) + MESSAGE + MESSAGE
    found: list[object] = []
    for at in range(0, len(stream), size):
        last = at + size >= len(stream)
        found += call.events_in(stream[at : at + size], reader, ended=last)
    head, *messages = found
    assert isinstance(head, TunnelRequest)
    assert messages == [DecodedMessage(b"abc", 8, due_at=12.5), DecodedMessage(b"abc", 8), None]


def test_a_request_that_ends_with_a_deadline_ends(call: StreamCall, reader: RequestReader) -> None:
    assert list(call.events_in(HEAD + MESSAGE + deadline_frame(1.0), reader, ended=True))[1:] == [
        DecodedMessage(b"abc", 8),
        None,
    ]


def test_a_stream_that_ends_within_a_frame(call: StreamCall, reader: RequestReader) -> None:
    with pytest.raises(TunnelProtocolError, match="within a frame") as caught:
        list(call.events_in(HEAD + deadline_frame(1.0)[:-1], reader, ended=True))
    assert caught.value.h3_code == H3Code.FRAME_ERROR
