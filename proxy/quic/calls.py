"""Calls of the exchange port on streams of the tunnel: the caller's side and the called side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from policies.traffic import NO_DEADLINE
from proxy.errors import Code, H3Code, TunnelProtocolError
from proxy.quic.call_notes import IncomingNotes, OutgoingNotes
from proxy.quic.stream_call import StreamCall
from proxy.tunnel.answer_deadlines import AnswerDeadlines
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, Metadata
from proxy.tunnel.frames import deadline_frame
from proxy.tunnel.gate import PeerClock
from proxy.tunnel.headers import TunnelRequest, encode_initial_metadata, encode_status
from proxy.tunnel.messages import DecodedMessage
from proxy.tunnel.metadata import Headers
from proxy.tunnel.stream import AnswerReader, CallEvent, Half, Input, RequestReader
from proxy.tunnel.tunnel import UNBEGUN

if TYPE_CHECKING:
    from proxy.quic.endpoint import Endpoint


class StreamOutgoingCall(StreamCall):
    """A call made over the tunnel. `proxy.tunnel.exchange.OutgoingCall`.

    `on_answer` is called when the first message of the answer is there, with the time since the last packet of the
    request left; not for an answer that began before. `notes` keeps when the call passes. The answer to each message is
    due `message_budget_s` after it was sent, which the daemon is told, unless that is infinite.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream_id: int,
        *,
        address: str,
        max_message_bytes: int,
        on_answer: Callable[[float], None] | None = None,
        notes: OutgoingNotes | None = None,
        message_budget_s: float = NO_DEADLINE,
    ) -> None:
        super().__init__(endpoint, stream_id)
        self._message_budget_s = message_budget_s
        self._on_answer = on_answer
        self._notes = notes
        self._address = address
        self._reader = AnswerReader(peer=f"daemon {address}", max_message_bytes=max_message_bytes)
        self._queue: deque[CallEvent] = deque()
        self._over = False
        self._held = b""
        endpoint.use(stream_id, self)

    def __repr__(self) -> str:
        state = f"sending={self._sending!r} queued={len(self._queue)} {self._reader!r}"
        return f"<StreamOutgoingCall {self._stream_id} {state}>"

    @property
    def stream_id(self) -> int:
        """The stream that carries the call."""
        return self._stream_id

    @property
    def peer(self) -> str:
        """See the port."""
        return self._address

    def start(self, headers: Headers, *, hold: bool = False) -> None:
        """Send the header section that starts the call; with `hold`, together with the first message."""
        http = self._endpoint.http
        if http is None:
            return
        self._sending.advance(Input.HEADERS)
        frame = http.headers_frame(self._stream_id, headers)
        if hold:
            self._held = frame
        else:
            http.send(self._stream_id, frame, now=self._endpoint.port.now())
            self._endpoint.flush_soon(batch=True)

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        http = self._endpoint.http
        if self._sending.is_over or http is None:
            return
        self._sending.advance(Input.MESSAGE)
        before, self._held = self._held, b""
        if self._notes is not None:
            self._notes.writes_message()
        now, due_at = self._endpoint.port.now(), None
        if self._message_budget_s < NO_DEADLINE:
            due_at = now + self._message_budget_s
            before += deadline_frame(due_at)
        http.send_message(self._stream_id, message, now=now, before=before, end_stream=last, due_at=due_at)
        self._endpoint.flush_soon(batch=True)
        if last:
            self._sending.advance(Input.END)
        else:
            await self._wait_for_room()

    async def close_sending(self) -> None:
        """See the port."""
        http = self._endpoint.http
        if self._sending.is_over or http is None:
            return
        self._sending.advance(Input.END)
        held, self._held = self._held, b""
        http.send(self._stream_id, held, now=self._endpoint.port.now(), end_stream=True)
        self._endpoint.flush_soon(batch=True)

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """See the port."""
        while not self._queue:
            await self._wait_for_arrival()
        event = self._queue.popleft()
        if isinstance(event, DecodedMessage):
            self._give_back(self._credit.consumed(event.wire_bytes))
            return event.data
        return event

    def cancel(self) -> None:
        """See the port."""
        if not self._over:
            if self._notes is not None:
                self._notes.cancels()
            self._end(CallStatus(Code.CANCELLED, "cancelled by the caller"), H3Code.REQUEST_CANCELLED)

    # From the endpoint

    def on_bytes(self, data: bytes, *, ended: bool) -> None:
        """See `StreamUser`."""
        if self._over:
            return
        messages = 0
        try:
            for event in self.events_in(data, self._reader, ended=ended):
                if isinstance(event, CallStatus):
                    if self._notes is not None:
                        self._notes.got_status(self._reader.stages, self._endpoint.port.now())
                    if UNBEGUN in event.metadata:
                        event = event._replace(retryable=True)  # noqa: PLW2901 -- the same event, better known
                    self._end(event, None if self._sending.state is Half.ENDED else H3Code.NO_ERROR)
                    return
                if isinstance(event, DecodedMessage):
                    messages += 1
                    if self._on_answer is not None:
                        self._tell_answered(self._on_answer)
                    if self._notes is not None and messages == 1:
                        self._notes.got_message(self._endpoint.port.now())
                    self._queue.append(event)
                elif isinstance(event, InitialMetadata):
                    self._queue.append(event)
        except TunnelProtocolError as error:
            self._end(CallStatus(error.code, str(error)), error.h3_code)
            return
        if self._notes is not None and self._reader.has_begun_message:
            self._notes.got_part(self._endpoint.port.now())
        self._give_back(self._credit.arrived(len(data), finished=messages))
        self._wake()

    def on_reset(self, error_code: int) -> None:
        if not self._over:
            self._end(self._reader.broken(error_code), H3Code.REQUEST_CANCELLED)

    def on_stop(self, error_code: int) -> None:
        """The callee wants no more of the request: it has its answer ready, or will reset. The answer decides."""
        if not self._sending.is_over:
            self._sending.advance(Input.BREAK)
        self.on_room()

    def on_lost(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._break_sending()
            # What is past its GOAWAY a daemon has not begun on (RFC 9114 section 5.2).
            http = self._endpoint.http
            unbegun = http is not None and http.goaway_id is not None and self._stream_id >= http.goaway_id
            text = f"daemon {self._address}: {reason}"
            self._queue.append(CallStatus(Code.UNAVAILABLE, text, retryable=unbegun))
            self._wake()

    def _end(self, status: CallStatus, abort_with: H3Code | None) -> None:
        """The call is over; what of the stream is still open is given up."""
        self._over = True
        self._queue.append(status)
        self._break_sending()
        self._endpoint.release(self._stream_id)
        if abort_with is not None:
            self._endpoint.abort(self._stream_id, abort_with)
        self._wake()

    def _tell_answered(self, on_answer: Callable[[float], None]) -> None:
        self._on_answer = None
        sent_at = self._endpoint.connection.emptied_at(self._stream_id)
        if self._sending.state is Half.ENDED and sent_at > 0:
            on_answer(self._endpoint.port.now() - sent_at)

    def _break_sending(self) -> None:
        if not self._sending.is_over:
            self._sending.advance(Input.BREAK)
        self.on_room()


class StreamIncomingCall(StreamCall):
    """A call that came over the tunnel. `proxy.tunnel.exchange.IncomingCall`.

    `on_request` is called with the request's head once it is there; it starts whatever serves the call and returns how
    to cancel that.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream_id: int,
        *,
        max_message_bytes: int,
        on_request: Callable[[StreamIncomingCall, TunnelRequest], Callable[[], object]],
    ) -> None:
        super().__init__(endpoint, stream_id)
        self._reader = RequestReader(max_message_bytes=max_message_bytes)
        self._on_request = on_request
        self._queue: deque[DecodedMessage | None] = deque()
        self._cancel_handler: Callable[[], object] | None = None
        self._notes: IncomingNotes | None = None
        self._head = CallHead(path="")
        self._deadlines: AnswerDeadlines | None = None
        self._clock: PeerClock | None = None
        self._received = False  # a message has been handed on

    def __repr__(self) -> str:
        state = f"sending={self._sending!r} queued={len(self._queue)} {self._reader!r}"
        return f"<StreamIncomingCall {self._stream_id} {state}>"

    @property
    def head(self) -> CallHead:
        """See the port."""
        return self._head

    @property
    def stream_id(self) -> int:
        """The stream that carries the call."""
        return self._stream_id

    @property
    def endpoint(self) -> Endpoint:
        """The connection that carries the call."""
        return self._endpoint

    def begin(
        self, head: CallHead, deadlines: AnswerDeadlines | None = None, *, clock: PeerClock | None = None
    ) -> None:
        """Set the head, once the request has been read and its clock translated.

        `deadlines` are those of the answer's messages, where they have their own; `clock` is the caller's.
        """
        self._head = head
        self._deadlines = deadlines
        self._clock = clock
        if head.times is not None:
            self._notes = IncomingNotes(head.times, self._endpoint.connection, self._stream_id)

    async def receive(self) -> bytes | None:
        """See the port."""
        while not self._queue:
            if self._reader.half.state is Half.ENDED:
                return None
            await self._wait_for_arrival()
        message = self._queue.popleft()
        if message is None:
            return None
        self._give_back(self._credit.consumed(message.wire_bytes))
        if self._clock is not None and self._head.times is not None:
            times = self._head.times
            due_at = times.due_at = self._clock.ours(message.due_at)
            if not self._received:
                times.first_due_at = due_at
            if due_at and self._deadlines is not None:
                self._deadlines.requested(due_at, now=self._endpoint.port.now())
        self._received = True
        return message.data

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """See the port."""
        http = self._endpoint.http
        if self._sending.state is Half.IDLE and http is not None:
            self._sending.advance(Input.HEADERS)
            frame = http.headers_frame(self._stream_id, encode_initial_metadata(metadata))
            http.send(self._stream_id, frame, now=self._endpoint.port.now())
            self._endpoint.flush_soon()

    async def send(self, message: bytes) -> None:
        """See the port."""
        http = self._endpoint.http
        if self._sending.is_over or http is None:
            return
        before = b""
        if self._sending.state is Half.IDLE:
            self._sending.advance(Input.HEADERS)
            before = http.headers_frame(self._stream_id, encode_initial_metadata(()))
        self._sending.advance(Input.MESSAGE)
        now = self._endpoint.port.now()
        if self._notes is not None:
            self._notes.writes_message()
        due_at = None if self._deadlines is None else self._deadlines.message(now=now)
        http.send_message(self._stream_id, message, now=now, before=before, due_at=due_at)
        self._endpoint.flush_soon()
        await self._wait_for_room()

    async def finish(self, status: CallStatus) -> None:
        """See the port."""
        self.refuse(status)

    def reject(self) -> None:
        """Give the call back untouched: the caller may try elsewhere (RFC 9114 section 4.1.1)."""
        self._sending.advance(Input.BREAK)
        self._reader.broken()
        self._endpoint.release(self._stream_id)
        self._endpoint.abort(self._stream_id, H3Code.REQUEST_REJECTED)

    def refuse(self, status: CallStatus) -> None:
        """End the call with `status`."""
        http = self._endpoint.http
        if self._sending.is_over or http is None:
            return
        trailers_only = self._sending.state is Half.IDLE
        self._sending.advance(Input.STATUS)
        now = self._endpoint.port.now()
        stages = b"" if self._notes is None else self._notes.writes_status(now)
        section = encode_status(status, trailers_only=trailers_only, stages=stages)
        due_at = None if self._deadlines is None else self._deadlines.status()
        trailers = http.headers_frame(self._stream_id, section)
        http.send(self._stream_id, trailers, now=now, end_stream=True, due_at=due_at)
        if not self._reader.half.is_over:
            # The rest of the request is of no use any more (RFC 9114 section 4.1).
            self._reader.half.advance(Input.BREAK)
            self._endpoint.connection.stop_stream(self._stream_id, H3Code.NO_ERROR)
        self._endpoint.release(self._stream_id)
        self._endpoint.flush_soon()

    # From the endpoint

    def on_bytes(self, data: bytes, *, ended: bool) -> None:
        """See `StreamUser`."""
        if self._reader.half.is_over:
            return
        messages = 0
        try:
            for event in self.events_in(data, self._reader, ended=ended):
                if isinstance(event, TunnelRequest):
                    self._cancel_handler = self._on_request(self, event)
                elif event is None or isinstance(event, DecodedMessage):
                    messages += event is not None
                    if event is not None and messages == 1 and self._notes is not None:
                        self._notes.got_message(self._endpoint.port.now())
                    self._queue.append(event)
        except TunnelProtocolError as error:
            self._break_off(CallStatus(error.code, str(error)))
            return
        if not self._reader.half.is_over:
            self._give_back(self._credit.arrived(len(data), finished=messages))
        self._wake()

    def on_reset(self, error_code: int) -> None:
        self._reader.broken()
        self._abandon()

    def on_stop(self, error_code: int) -> None:
        self._abandon()

    def on_lost(self, reason: str) -> None:
        self._reader.broken()
        self._give_up()

    def _break_off(self, status: CallStatus) -> None:
        """Answer with a status on our own account: the request can't be served on."""
        self.refuse(status)
        if self._cancel_handler is not None:
            self._cancel_handler()

    def _abandon(self) -> None:
        """The caller went away: give up the stream and stop working for it."""
        if not self._sending.is_over:
            self._endpoint.abort(self._stream_id, H3Code.REQUEST_CANCELLED)
        self._endpoint.release(self._stream_id)
        self._give_up()

    def _give_up(self) -> None:
        if not self._sending.is_over:
            self._sending.advance(Input.BREAK)
        self.on_room()
        if self._cancel_handler is not None:
            self._cancel_handler()
