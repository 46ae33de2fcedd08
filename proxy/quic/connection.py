"""A QUIC connection with scheduled streams.

The order of streams is a `policies.scheduling` scheduler's, packet by packet, retransmissions included: `send_queue`
asks it. Before packets are made it hears what the path can carry. Nothing here walks streams that have nothing to send.

From aioquic's connection to this one it is five steps, a file each: `receiving_connection` takes packets in,
`path_connection` knows the path, `credit_connection` gives credit, `sending_connection` fills packets, and here is what
the endpoint calls. These files, `send_buffer`, `http3` and `congestion.recovery` touch aioquic's private attributes; no
other does (`tests/architecture` checks that, and that the version installed still has them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.connection import (
    QuicReceiveContext,
    stream_is_unidirectional,
)
from aioquic.quic.stream import QuicStream

from policies.scheduling.base import Scheduler, StreamOrder
from proxy.quic.limits import FlowLimits
from proxy.quic.path_estimate import PathReports
from proxy.quic.send_buffer import SendBuffer
from proxy.quic.sending_connection import SendingConnection
from proxy.quic.statistics import ConnectionStatistics


class ScheduledConnection(SendingConnection):
    """A QUIC connection whose streams are served in the order of `scheduler`.

    `on_room` is called with a stream's number when less than `low_water_bytes` of what was written to it is still
    unsent, once after each time `unsent_bytes` was above it.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        limits: FlowLimits,
        on_room: Callable[[int], None],
        low_water_bytes: int = 64 * 1024,
        **path: Any,
    ) -> None:
        super().__init__(scheduler=scheduler, on_room=on_room, low_water_bytes=low_water_bytes, limits=limits, **path)
        self._reports = PathReports(is_client=self._is_client)

    def __repr__(self) -> str:
        role = "client" if self._is_client else "server"
        return f"<ScheduledConnection {role} {self._state.name} streams={len(self._streams)} {self._queue.scheduler!r}>"

    # What the endpoint calls

    def use_scheduler(self, scheduler: Scheduler, *, now: float) -> None:
        """Serve streams in another discipline's order from the next packet on."""
        self._queue.now = now
        self._queue.use_scheduler(scheduler)
        self._reports.forget()

    def order_stream(self, order: StreamOrder, *, now: float) -> None:
        """Say how urgent a stream is; its place changes from the next packet on."""
        self._queue.now = now
        self._queue.order(order)

    def make_urgent(self, stream_id: int) -> None:
        """Serve this stream before every scheduled one."""
        self._queue.make_urgent(stream_id)

    def write(
        self, stream_id: int, *chunks: bytes, now: float, end_stream: bool = False, due_at: float | None = None
    ) -> None:
        """Write to a stream that is open.

        `due_at` is when the message is due that these bytes are or end; without it they go by the stream's own order,
        and with the stream's first message once that is written.
        Raises ValueError for a stream that does not exist or is over.
        """
        self._queue.now = now
        sender = self._queue.get(stream_id)
        if sender is None:
            raise ValueError(f"stream {stream_id} is not open")
        if due_at is not None:
            self._queue.expect(sender, end=sender.written_bytes + sum(map(len, chunks)), deadline=due_at)
        sender.write_chunks(chunks, end_stream=end_stream)

    def watch_start(self, stream_id: int, on_start: Callable[[float], None]) -> None:
        """Have `on_start` called with the time at which the first byte leaves of what is written next to a stream."""
        if (sender := self._queue.get(stream_id)) is not None:
            sender.watch_start(on_start)

    def watch_end(self, stream_id: int, on_end: Callable[[float], None]) -> None:
        """Have `on_end` called with the time at which all of a stream has left; with 0.0 if part of it never will."""
        sender = self._queue.get(stream_id)
        if sender is None:
            on_end(0.0)
        else:
            sender.watch_end(on_end)

    def give_up(self) -> None:
        """The connection is over: tell those who wait for streams to leave."""
        self._queue.give_up()

    def open_stream(self) -> int:
        """The number of a new stream of ours, taken from now on whether or not anything is written to it."""
        stream_id = self.get_next_available_stream_id()
        self._get_or_create_stream_for_send(stream_id)
        return stream_id

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes written to a stream and never put into a packet; 0 for a stream that is gone."""
        sender = self._queue.get(stream_id)
        return 0 if sender is None else sender.unsent_bytes

    @property
    def rtt_s(self) -> float:
        """The smoothed round trip; 0 before the first sample."""
        return self._loss._rtt_smoothed

    @property
    def least_way_s(self) -> float:
        """Half of the shortest round trip; 0 before the first sample."""
        shortest_s = self._loss._rtt_min
        return shortest_s / 2 if math.isfinite(shortest_s) else 0.0

    def is_delivered(self, stream_id: int) -> bool:
        """True if all that was written to a stream is acknowledged, or the stream is gone."""
        sender = self._queue.get(stream_id)
        return sender is None or sender.acknowledged_bytes >= sender.written_bytes

    def emptied_at(self, stream_id: int) -> float:
        """When the last packet left that took all that a stream had to send; 0 if none has, or the stream is gone."""
        sender = self._queue.get(stream_id)
        return 0.0 if sender is None or not sender.buffer_is_empty else sender.emptied_at

    def statistics(self, *, now: float) -> ConnectionStatistics:
        """What waits, for whom, and on what path. Walks the streams."""
        scheduler = self._queue.scheduler
        return ConnectionStatistics(
            streams=len(self._streams),
            streams_ready=self._queue.ready,
            pending_bytes=self._queue.pending_bytes,
            scheduler=scheduler.name,
            scheduler_data=scheduler.log_data(now=now),
            path=self.path_statistics(),
        )

    @property
    def has_delivered(self) -> bool:
        """True when everything written has been sent and acknowledged."""
        return not (self._has_data() or self._queue.is_held_back or self.awaits_acknowledgement)

    # What aioquic calls

    @property  # type: ignore[override]
    def _streams_queue(self) -> ScheduledConnection:
        """Aioquic appends every new stream to its list of streams; here it hands them to `append`."""
        return self

    @_streams_queue.setter
    def _streams_queue(self, value: list[QuicStream]) -> None:
        """Aioquic's own order is not used."""

    def append(self, stream: QuicStream) -> None:
        """Adopt a stream that aioquic has just made. For aioquic only."""
        stream_id = stream.stream_id
        if stream_id is None:
            raise ValueError("a stream without a number carries no application data")
        sender = SendBuffer(
            stream, stream_id, on_ready=self._queue.wake, on_signal=self._signal, on_finished=self._note_finished
        )
        stream.sender = sender
        self._queue.adopt(sender, urgent=stream_is_unidirectional(stream_id))

    def next_event(self) -> events.QuicEvent | None:
        event = super().next_event()
        self._note_end(event)
        return event

    def take_events(self) -> list[events.QuicEvent]:
        """What has happened since this was last asked, in order."""
        if not self._events:
            return []
        taken = list(self._events)
        self._events.clear()
        for event in taken:
            self._note_end(event)
        return taken

    def _note_end(self, event: events.QuicEvent | None) -> None:
        if isinstance(event, events.StreamDataReceived | events.StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.is_finished:
                self._finished[event.stream_id] = None

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        self._queue.now = now
        super().receive_datagram(data, addr, now)

    def handle_timer(self, now: float) -> None:
        self._queue.now = now
        super().handle_timer(now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        self._queue.now = now
        plain = self.is_settled and not self._mtu.may_probe
        if plain:
            self._discard_finished()
            plain = not (self._signals or self._credit or self._has_control_frames())
            ack_at = self._spaces[tls.Epoch.ONE_RTT].ack_at
            if plain and not self._queue.ready and (ack_at is None or ack_at > now):
                # aioquic would set up a packet and throw it away. Many flushes of an RPC connection end here.
                self._pacing_at = None
                self._recovery.control.mark_app_limited()
                return []
        if len(self._queue.scheduler):
            self._tell_path(now)
        datagrams = self._plain_datagrams(now) if plain and self._acknowledges_all else super().datagrams_to_send(now)
        if self._pacing_at is None and not self._has_data():
            self._recovery.control.mark_app_limited()
        return datagrams

    def _tell_path(self, now: float) -> None:
        report = self._reports.report(
            rate_bytes_s=self._recovery.control.delivery_rate_bytes_s,
            rtt_s=self.rtt_s,
            datagram_bytes=self._max_datagram_size,
        )
        if report is not None:
            self._queue.scheduler.on_path(report, now=now)

    def _unblock_streams(self, is_unidirectional: bool) -> None:  # noqa: FBT001 - aioquic's signature
        waiting = list(self._streams_blocked_uni if is_unidirectional else self._streams_blocked_bidi)
        super()._unblock_streams(is_unidirectional)
        for stream in waiting:
            stream_id = stream.stream_id
            sender = None if stream_id is None else self._queue.get(stream_id)
            if stream_id is not None and sender is not None and not stream.is_blocked:
                self._queue.wake(sender)
                if sender.reset_pending or stream.receiver.stop_pending:
                    self._signals[stream_id] = None

    def _handle_max_data_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_max_data_frame(context, frame_type, buf)
        self._queue.let_all_go()

    def _handle_max_stream_data_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        super()._handle_max_stream_data_frame(context, frame_type, buf)
        end = buf.tell()
        buf.seek(start)
        stream_id = buf.pull_uint_var()
        buf.seek(end)
        self._queue.let_go(stream_id)

    # Bookkeeping

    def _signal(self, sender: SendBuffer) -> None:
        self._queue.unready(sender.stream_id)
        self._signals[sender.stream_id] = None

    def _note_finished(self, sender: SendBuffer) -> None:
        if sender.stream.is_finished:
            self._finished[sender.stream_id] = None
