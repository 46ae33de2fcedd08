"""What both sides of a call on a stream of the tunnel share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.errors import H3Code, TunnelProtocolError
from proxy.quic.http3 import MAX_HEADER_BYTES
from proxy.tunnel.flow import HIGH_WATER_BYTES, ReceiveCredit
from proxy.tunnel.frames import DATA, DEADLINE, FrameReader, read_deadline
from proxy.tunnel.stream import AnswerReader, CallEvent, HalfState, RequestEvent, RequestReader

if TYPE_CHECKING:
    from proxy.quic.endpoint import Endpoint

_Reader = AnswerReader | RequestReader
_Event = CallEvent | RequestEvent


class StreamCall:
    """What both sides of a call share: waiting for events, waiting for room, giving credit back."""

    def __init__(self, endpoint: Endpoint, stream_id: int) -> None:
        self._endpoint = endpoint
        self._stream_id = stream_id
        self._credit = ReceiveCredit()
        self._arrival: asyncio.Future[None] | None = None
        self._space: asyncio.Future[None] | None = None
        self._sending = HalfState()
        self._frames = FrameReader(max_header_bytes=MAX_HEADER_BYTES)

    def on_room(self) -> None:
        """The endpoint: there is room to write again."""
        if self._space is not None and not self._space.done():
            self._space.set_result(None)

    async def _wait_for_room(self) -> None:
        connection = self._endpoint.connection
        while connection.unsent_bytes(self._stream_id) > HIGH_WATER_BYTES and not self._sending.is_over:
            self._space = asyncio.get_running_loop().create_future()
            await self._space

    def events_in(self, data: bytes, reader: _Reader, *, ended: bool) -> Iterator[_Event]:
        """The events in bytes of the stream. Raises `TunnelProtocolError`, also while it is iterated over."""
        frames = self._frames.feed(data)
        if ended and not self._frames.is_between_frames:
            raise TunnelProtocolError("the stream ended within a frame", h3_code=H3Code.FRAME_ERROR)
        http = self._endpoint.http
        last = len(frames) - 1
        for index, (frame_type, payload) in enumerate(frames):
            if frame_type == DATA:
                yield from reader.data(payload, ended=ended and index == last)
            elif frame_type == DEADLINE:
                if isinstance(reader, RequestReader):
                    reader.due(read_deadline(payload))
            elif http is not None:
                headers = http.read_headers(self._stream_id, payload)
                yield from reader.headers(headers, ended=ended and index == last)
        if ended and (not frames or frames[-1][0] == DEADLINE):
            yield from reader.data(b"", ended=True)

    def _give_back(self, size_bytes: int) -> None:
        if size_bytes:
            self._endpoint.connection.grant(self._stream_id, size_bytes)
            self._endpoint.flush_soon()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def _wait_for_arrival(self) -> None:
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival
