"""One QUIC connection at work: datagrams in, HTTP/3 events to the calls they belong to, datagrams out, one timer.

Both ends of the tunnel are an `Endpoint`; `client` and `server` say what happens when a request arrives or the
connection ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from aioquic.quic import events

from proxy.errors import H3Code
from proxy.quic.connection import ScheduledConnection
from proxy.quic.driver import Datagram
from proxy.quic.http3 import GrpcHttp3
from proxy.quic.port import Port

logger = logging.getLogger(__name__)

_UNIDIRECTIONAL = 0x2
"""Bit of a stream number (RFC 9000 section 2.1)."""


class StreamUser(Protocol):
    """A call on one stream, as the endpoint feeds it."""

    def on_bytes(self, data: bytes, *, ended: bool) -> None:
        """Bytes of the stream arrived, in order; `ended` with the last ones."""

    def on_reset(self, error_code: int) -> None:
        """The peer gave up its half of the stream."""

    def on_stop(self, error_code: int) -> None:
        """The peer does not want our half of the stream any more."""

    def on_room(self) -> None:
        """There is room to write again."""

    def on_lost(self, reason: str) -> None:
        """The connection is gone."""


class Endpoint:
    """Drives one connection.

    `accept` makes the user of a stream that the peer has opened; None refuses such streams.
    """

    def __init__(
        self,
        *,
        port: Port,
        make_connection: Callable[[Callable[[int], None]], ScheduledConnection],
        accept: Callable[[Endpoint, int], StreamUser] | None,
        on_ready: Callable[[Endpoint], None],
        on_end: Callable[[Endpoint, str], None],
        on_ids: Callable[[Endpoint], None] | None = None,
        batch_window_s: float = 0.0,
    ) -> None:
        self.port = port
        self.connection = make_connection(self._room)
        self.http: GrpcHttp3 | None = None
        self._accept = accept
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_ids = on_ids
        self._batch_window_s = batch_window_s
        self._users: dict[int, StreamUser] = {}
        self._released: set[int] = set()
        self._flush_pending = False
        self._flush_held = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._ended = False
        self._progress: asyncio.Future[None] | None = None
        self.heard_at = port.now()

    def __repr__(self) -> str:
        return f"<Endpoint users={len(self._users)} {self.connection!r}>"

    @property
    def users(self) -> int:
        """Calls under way."""
        return len(self._users)

    def receive(self, datagrams: list[Datagram], now: float) -> None:
        """Take in what arrived in one turn, then answer it together."""
        self.heard_at = now
        connection = self.connection
        for data, address in datagrams:
            connection.receive_datagram(data, address, now=now)
        self._drain_events()
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
        if (closed := connection.closed_by_peer) is not None:
            self._finish(_reason(closed))
        else:
            self.flush_soon()

    async def wait_delivered(self) -> None:
        """Return once everything written has arrived, or the connection is over."""
        while not (self._ended or self.connection.has_delivered):
            self._progress = asyncio.get_running_loop().create_future()
            await self._progress

    def use(self, stream_id: int, user: StreamUser) -> None:
        """From now on `user` gets what happens on the stream."""
        self._users[stream_id] = user

    def release(self, stream_id: int) -> None:
        """The stream's call is over. What the peer still sends on it is passed over."""
        if self._users.pop(stream_id, None) is not None and self.connection.is_receiving(stream_id):
            self._released.add(stream_id)

    def flush_soon(self, *, batch: bool = False) -> None:
        """Send what there is to send at the end of this turn, or, with `batch`, once the batch window is over."""
        delay_s = self._batch_window_s if batch else 0.0
        if self._flush_pending and not (self._flush_held and delay_s <= 0):
            return
        self._flush_pending, self._flush_held = True, delay_s > 0
        self.port.call_soon(self._flush, delay_s=delay_s)

    def abort(self, stream_id: int, error_code: int) -> None:
        """Give up both halves of a stream."""
        self.connection.reset_stream(stream_id, error_code)
        self.connection.stop_stream(stream_id, error_code)
        self.flush_soon()

    def close(self, *, error_code: int = 0x100, reason: str = "") -> None:
        """Close the connection, telling the peer. 0x100 is H3_NO_ERROR.

        No further call is accepted, also of those that came together with the reason for closing.
        """
        self._accept = None
        self.connection.close(error_code=error_code, reason_phrase=reason)
        self._flush()

    def lose(self, reason: str) -> None:
        """Give the connection up without a word to the peer, who is gone."""
        self._finish(reason)

    def _flush(self) -> None:
        self._flush_pending = False
        if self._ended:
            return
        now = self.port.now()
        datagrams = self.connection.datagrams_to_send(now)
        if datagrams:
            self.port.send([*datagrams])
        self._arm()

    def _arm(self) -> None:
        """One timer. One that fires early is cheaper than one that is moved at every packet."""
        when = self.connection.get_timer()
        if when is None:
            return
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer = self.port.call_at(when, self._on_timer)
        self._timer_at = when

    def _on_timer(self) -> None:
        self._timer = None
        if self._ended:
            return
        now = self.port.now()
        when = self.connection.get_timer()
        if when is not None and now < when:
            self._arm()
            return
        self.connection.handle_timer(now=now)
        self._drain_events()
        self._flush()

    def _drain_events(self) -> None:
        for event in self.connection.take_events():
            if isinstance(event, events.StreamDataReceived):
                self._stream_data(event)
            elif isinstance(event, events.StreamReset | events.StopSendingReceived):
                self._given_up(event)
            elif isinstance(event, events.HandshakeCompleted):
                self.http = GrpcHttp3(self.connection)
                self._on_ready(self)
            elif isinstance(event, events.ConnectionIdIssued):
                if self._on_ids is not None:
                    self._on_ids(self)
            elif isinstance(event, events.ConnectionTerminated):
                self._finish(_reason(event))

    def _stream_data(self, event: events.StreamDataReceived) -> None:
        stream_id = event.stream_id
        user = self._users.get(stream_id)
        if user is None:
            if self.http is None:
                return
            if stream_id & _UNIDIRECTIONAL:
                self.http.handle_event(event)
                return
            if stream_id in self._released:
                if event.end_stream:
                    self._released.discard(stream_id)
                return
            if self._accept is None:
                return
            user = self._users[stream_id] = self._accept(self, stream_id)
        user.on_bytes(event.data, ended=event.end_stream)

    def _given_up(self, event: events.StreamReset | events.StopSendingReceived) -> None:
        stream_id = event.stream_id
        user = self._users.get(stream_id)
        if isinstance(event, events.StreamReset):
            if stream_id in self._released:
                self._released.discard(stream_id)
            elif user is None and self._accept is not None and not (stream_id & _UNIDIRECTIONAL):
                # Of a call that never began nobody else would end our half (RFC 9114 section 4.1).
                self.connection.reset_stream(stream_id, H3Code.REQUEST_INCOMPLETE)
            if user is not None:
                user.on_reset(event.error_code)
        elif user is not None:
            user.on_stop(event.error_code)
        if stream_id & _UNIDIRECTIONAL and self.http is not None:
            self.http.handle_event(event)

    def _room(self, stream_id: int) -> None:
        user = self._users.get(stream_id)
        if user is not None:
            user.on_room()

    def _finish(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
        users, self._users = self._users, {}
        for user in users.values():
            user.on_lost(reason)
        self.connection.give_up()
        self._on_end(self, reason)


def _reason(event: events.ConnectionTerminated) -> str:
    return event.reason_phrase or f"closed with error 0x{event.error_code:x}"
