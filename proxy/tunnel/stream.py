"""The state table of one call on its stream, for the side that calls and for the side that is called.

Each half of a stream goes through its states on its own. What comes in is checked against the table below; a pair that
is not in it raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from proxy.errors import Code, H3Code, TunnelProtocolError, status_of_reset
from proxy.tunnel.exchange import CallStatus, InitialMetadata
from proxy.tunnel.headers import STAGES_FIELD, TunnelRequest, decode_request, decode_response, decode_status
from proxy.tunnel.messages import DecodedMessage, MessageDecoder
from proxy.tunnel.metadata import Headers


class Half(Enum):
    """Where one half of a stream is."""

    IDLE = auto()
    OPEN = auto()
    """Headers are through; messages may follow."""
    ENDED = auto()
    """The half ended as it should: half-closed, or with its status."""
    BROKEN = auto()
    """Reset, cancelled, or lost with its connection."""

    __hash__ = object.__hash__  # Enum's own is Python code that hashes the name; members are compared by identity


class Input(Enum):
    """What can happen to one half."""

    HEADERS = auto()
    MESSAGE = auto()
    STATUS = auto()
    END = auto()
    BREAK = auto()

    __hash__ = object.__hash__


_NEXT: dict[tuple[Half, Input], Half] = {
    (Half.IDLE, Input.HEADERS): Half.OPEN,
    (Half.IDLE, Input.STATUS): Half.ENDED,  # Trailers-Only
    (Half.OPEN, Input.MESSAGE): Half.OPEN,
    (Half.OPEN, Input.STATUS): Half.ENDED,
    (Half.OPEN, Input.END): Half.ENDED,
    (Half.IDLE, Input.BREAK): Half.BROKEN,
    (Half.OPEN, Input.BREAK): Half.BROKEN,
}


class HalfState:
    """One half of a stream and the table that moves it."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = Half.IDLE

    def __repr__(self) -> str:
        return self.state.name

    @property
    def is_over(self) -> bool:
        """True when nothing more happens on this half."""
        return self.state in (Half.ENDED, Half.BROKEN)

    def advance(self, event: Input) -> None:
        """Move on. Raises `TunnelProtocolError`, and stays, if the state has no such way out."""
        following = _NEXT.get((self.state, event))
        if following is None:
            raise TunnelProtocolError(
                f"{event.name} on a stream that is {self.state.name}", h3_code=H3Code.FRAME_UNEXPECTED
            )
        self.state = following


CallEvent = InitialMetadata | DecodedMessage | CallStatus
RequestEvent = TunnelRequest | DecodedMessage | None
"""None is the caller's half-close."""


class AnswerReader:
    """Reads an answer: what a client makes of the header sections and data of one stream."""

    def __init__(self, *, peer: str, max_message_bytes: int) -> None:
        self.half = HalfState()
        self.stages = b""
        """What `headway-stages` said at the end of the answer; empty before, and where it was not there."""
        self._peer = peer
        self._max_message_bytes = max_message_bytes
        self._decoder = MessageDecoder(max_message_bytes=max_message_bytes)

    def __repr__(self) -> str:
        return f"<AnswerReader {self.half!r} {self._decoder!r}>"

    def headers(self, headers: Headers, *, ended: bool) -> Iterable[CallEvent]:
        """A header section arrived: the answer's headers, its trailers, or both in one."""
        if self.half.state is Half.IDLE:
            response = decode_response(headers)
            if response.status is not None:
                self.half.advance(Input.STATUS)
                self.stages = _stages(headers)
                return (response.status,)
            self.half.advance(Input.HEADERS)
            self._decoder = MessageDecoder(max_message_bytes=self._max_message_bytes, encoding=response.encoding)
            first = InitialMetadata(response.metadata)
            return (first, self._unfinished()) if ended else (first,)
        self.half.advance(Input.STATUS)
        if not self._decoder.is_between_messages:
            return (CallStatus(Code.INTERNAL, f"{self._peer} ended the answer within a message"),)
        self.stages = _stages(headers)
        return (decode_status(headers),)

    def data(self, data: bytes, *, ended: bool) -> Iterable[CallEvent]:
        """Bytes of messages arrived. After the status only an empty end may come."""
        if self.half.is_over and not data:
            return ()
        events: list[CallEvent] = []
        if data:
            self.half.advance(Input.MESSAGE)
            events.extend(self._decoder.feed(data))
        if ended:
            events.append(self._unfinished())
        return events

    @property
    def has_begun_message(self) -> bool:
        """True while part of a message is here."""
        return not self._decoder.is_between_messages

    def broken(self, error_code: int) -> CallStatus:
        """The peer reset the answer."""
        self.half.advance(Input.BREAK)
        code = status_of_reset(error_code)
        text = f"{self._peer} reset the stream with HTTP/3 error 0x{error_code:x}"
        return CallStatus(code, text, retryable=error_code == H3Code.REQUEST_REJECTED)

    def _unfinished(self) -> CallStatus:
        self.half.advance(Input.BREAK)
        return CallStatus(Code.INTERNAL, f"{self._peer} ended the answer without a status")


def _stages(headers: Headers) -> bytes:
    return next((value for key, value in headers if key == STAGES_FIELD), b"")


class RequestReader:
    """Reads a request: what a server makes of the header section and data of one stream."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self.half = HalfState()
        self._due_at = 0.0
        self._max_message_bytes = max_message_bytes
        self._decoder = MessageDecoder(max_message_bytes=max_message_bytes)

    def __repr__(self) -> str:
        return f"<RequestReader {self.half!r} {self._decoder!r}>"

    def headers(self, headers: Headers, *, ended: bool) -> Iterable[RequestEvent]:
        """The request's header section arrived. Trailers of a request mean nothing in gRPC and are passed over."""
        if self.half.state is Half.OPEN:
            return self._end() if ended else ()
        self.half.advance(Input.HEADERS)
        request = decode_request(headers)
        self._decoder = MessageDecoder(max_message_bytes=self._max_message_bytes, encoding=request.encoding)
        return (request, *self._end()) if ended else (request,)

    def due(self, at: float) -> None:
        """The answer to the next message is due then, on the sender's clock."""
        self._due_at = at

    def data(self, data: bytes, *, ended: bool) -> Iterable[RequestEvent]:
        """Bytes of messages arrived."""
        events: list[RequestEvent] = []
        if data:
            self.half.advance(Input.MESSAGE)
            messages = self._decoder.feed(data)
            if self._due_at and messages:
                messages[0] = messages[0]._replace(due_at=self._due_at)
                self._due_at = 0.0
            events.extend(messages)
        if ended:
            events.extend(self._end())
        return events

    def broken(self) -> None:
        """The caller reset the request."""
        if not self.half.is_over:
            self.half.advance(Input.BREAK)

    def _end(self) -> tuple[RequestEvent, ...]:
        if not self._decoder.is_between_messages:
            raise TunnelProtocolError("the request ended within a message")
        self.half.advance(Input.END)
        return (None,)
