"""The send side of one QUIC stream: what aioquic's does, keeping the chunks it was given instead of copying them.

Subclasses aioquic's `QuicStreamSender` at the seam that `proxy.quic.connection` installs, and tells the connection when
the stream has something to send, must be reset, or is done.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from aioquic.quic.packet import QuicStreamFrame
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream, QuicStreamSender

_Notice = Callable[["SendBuffer"], None]
_Told = Callable[[float], None]
NOTHING_WATCHED = 1 << 62
"""No stream has an offset that large (RFC 9000 section 19.8)."""


class SendBuffer(QuicStreamSender):
    """Unacknowledged bytes of one stream, as the chunks they were written in."""

    def __init__(
        self, stream: QuicStream, stream_id: int, *, on_ready: _Notice, on_signal: _Notice, on_finished: _Notice
    ) -> None:
        super().__init__(stream_id=stream_id, writable=not stream.sender.is_finished)
        self.stream = stream
        self.stream_id = stream_id
        self._on_ready = on_ready
        self._on_signal = on_signal
        self._on_finished = on_finished
        self.emptied_at = 0.0
        """When the last packet left that took all there was to send; 0 before. Kept by whoever sends."""
        self.pending_bytes = 0
        """Bytes to put into a packet: those never sent and those to be sent again."""
        self.watched_offset = NOTHING_WATCHED
        """Once the byte here has been sent, whoever sends calls `tell_start`."""
        self.has_messages = False
        """True once a message with a deadline of its own was announced. Kept by whoever sends."""
        self._on_start: _Told | None = None
        self._on_end: _Told | None = None
        self._resends = False  # whether there is a range in `_pending`: here that is what was lost, and no more
        self._chunks: list[bytes] = []
        self._starts: list[int] = []  # offset of each chunk, ascending

    @property
    def unsent_bytes(self) -> int:
        """Bytes written and never put into a packet."""
        return self._buffer_stop - self.highest_offset

    @property
    def written_bytes(self) -> int:
        """Offset of the end of what was written."""
        return self._buffer_stop

    @property
    def acknowledged_bytes(self) -> int:
        """Offset up to which everything is acknowledged."""
        return self._buffer_start

    @property
    def can_send(self) -> bool:
        """True if there is something to send and the peer lets the stream be opened."""
        return not (self.stream.is_blocked or self.buffer_is_empty)

    def watch_start(self, on_start: _Told) -> None:
        """Have `on_start` called with the time at which the first byte leaves of what is written next."""
        self.watched_offset = self._buffer_stop
        self._on_start = on_start

    def watch_end(self, on_end: _Told) -> None:
        """Have `on_end` called with the time at which the last byte has left; with 0.0 if it never will."""
        self._on_end = on_end

    def tell_start(self, now: float) -> None:
        """The byte that is watched has been sent."""
        self.watched_offset = NOTHING_WATCHED
        on_start, self._on_start = self._on_start, None
        if on_start is not None:
            on_start(now)

    def tell_end(self, now: float) -> None:
        """All that there was to send has been sent, or with 0.0: the stream is given up."""
        if self._on_end is not None and (self._buffer_fin is not None or not now):
            on_end, self._on_end = self._on_end, None
            on_end(now)

    def write(self, data: bytes, end_stream: bool = False) -> None:  # noqa: FBT001, FBT002 - aioquic's signature
        self.write_chunks((data,), end_stream=end_stream)

    def write_chunks(self, chunks: Iterable[bytes], *, end_stream: bool = False) -> None:
        """Write several pieces at once, telling the connection once."""
        if self._buffer_fin is not None:
            raise RuntimeError("Cannot send data after FIN")
        if self._reset_error_code is not None:
            return  # a reset discards what comes after it; the caller learns of the reset by its own event
        start = stop = self._buffer_stop
        for data in chunks:
            if data:
                self._starts.append(stop)
                self._chunks.append(data)
                stop += len(data)
        if stop > start:
            self.pending_bytes += stop - start
            self._buffer_stop = stop
        elif not end_stream:
            return
        if end_stream:
            self._buffer_fin = stop
            self._pending_eof = True
        self.buffer_is_empty = False
        self._on_ready(self)

    @property
    def next_offset(self) -> int:
        """Of the byte that is sent next: one that was lost, if there is any."""
        return self._pending[0].start if self._resends else self.highest_offset

    def get_frame(self, max_size: int, max_offset: int | None = None) -> QuicStreamFrame | None:
        if max_size < 0:
            return None
        if not self.pending_bytes:
            self.buffer_is_empty = True
            if not self._pending_eof:
                return None
            self._pending_eof = False
            return QuicStreamFrame(data=b"", fin=True, offset=self._buffer_stop)
        if self._resends:
            start, stop = self._pending[0].start, self._pending[0].stop
        else:
            start, stop = self.highest_offset, self._buffer_stop
        stop = min(stop, start + max_size)
        if max_offset is not None and stop > max_offset:
            stop = max_offset
        if stop <= start:
            return None
        data = self._slice(start, stop)
        if self._resends:
            self._pending.subtract(start, stop)
            self._resends = len(self._pending) > 0
        else:
            self.highest_offset = stop
        self.pending_bytes -= stop - start
        fin = self._buffer_fin == stop
        if fin:
            self._pending_eof = False
        self.buffer_is_empty = not (self.pending_bytes or self._pending_eof)
        return QuicStreamFrame(data=data, fin=fin, offset=start)

    def on_data_delivery(self, delivery: QuicDeliveryState, start: int, stop: int, fin: bool) -> None:  # noqa: FBT001 - aioquic's signature
        if self._reset_error_code is not None:
            return
        if delivery == QuicDeliveryState.ACKED:
            if start == self._buffer_start and not len(self._acked):
                self._buffer_start = stop
                self._release()
            elif stop > start:
                self._acked.add(start, stop)
                first = self._acked[0]
                if first.start == self._buffer_start:
                    self._buffer_start = first.stop
                    self._acked.shift()
                    self._release()
            if fin:
                self._acked_fin = True
            if self._buffer_start == self._buffer_fin and self._acked_fin and not self.is_finished:
                self.is_finished = True
                self._on_finished(self)
            return
        if stop > start:
            self._pending.add(start, stop)
            self._resends = True
            self.pending_bytes += stop - start
        if fin:
            self._pending_eof = True
        if stop > start or fin:
            self.buffer_is_empty = False
            self._on_ready(self)

    def on_reset_delivery(self, delivery: QuicDeliveryState) -> None:
        super().on_reset_delivery(delivery)
        if self.is_finished:
            self._on_finished(self)
        elif self.reset_pending:
            self._on_signal(self)

    def reset(self, error_code: int) -> None:
        super().reset(error_code)
        if self.reset_pending:
            self._chunks.clear()
            self._starts.clear()
            self.pending_bytes = 0
            self._on_signal(self)

    def _slice(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`: the one copy between the caller's message and the packet."""
        index = bisect_right(self._starts, start) - 1
        chunk, at = self._chunks[index], self._starts[index]
        if stop - at <= len(chunk):
            return chunk[start - at : stop - at]
        parts = [chunk[start - at :]]
        while True:
            index += 1
            chunk, at = self._chunks[index], self._starts[index]
            if stop - at <= len(chunk):
                parts.append(chunk[: stop - at])
                return b"".join(parts)
            parts.append(chunk)

    def _release(self) -> None:
        """Drop the chunks that are acknowledged as a whole."""
        if self._buffer_start == self._buffer_stop:
            self._chunks.clear()
            self._starts.clear()
            return
        done = bisect_right(self._starts, self._buffer_start) - 1
        del self._chunks[:done]
        del self._starts[:done]
