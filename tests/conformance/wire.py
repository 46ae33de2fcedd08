"""HTTP/2 without a gRPC library on top: what stock clients and servers hide or would never send.

`WireClient` shows the frames that a target answers with and can send a broken request; `WireServer` is a backend
that records the frames of a request and can answer brokenly. Framing and HPACK are the h2 package's.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

Pairs = tuple[tuple[str, str], ...]

ANSWER_TIMEOUT_S = 10.0
# Large enough that no answer in the suite waits for an update.
WINDOW_BYTES = 2**28


@dataclass(frozen=True)
class Headers:
    """A HEADERS frame with its continuations: first headers, trailers, or both in one."""

    pairs: Pairs
    end_stream: bool

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]


@dataclass(frozen=True)
class Data:
    """A DATA frame."""

    content: bytes
    end_stream: bool


@dataclass(frozen=True)
class Reset:
    """A RST_STREAM frame, or the loss of the whole connection (`code` None)."""

    code: int | None


Frame = Headers | Data | Reset


def framed(message: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """Return `message` behind gRPC's five-byte prefix, which may lie about flag and length."""
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message


def unframed(data: bytes) -> list[tuple[int, bytes]]:
    """Split a body into its (compressed flag, message) pairs; the body must end with a message's end."""
    messages = []
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        assert len(data) >= 5 + length, f"message of {length} bytes cut off after {len(data) - 5}"
        messages.append((flag, data[5 : 5 + length]))
        data = data[5 + length :]
    return messages


@dataclass
class Stream:
    """One HTTP/2 stream as one side sees it."""

    stream_id: int
    connection: "Connection"
    incoming: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    unsent: bytearray = field(default_factory=bytearray)
    end_when_sent: bool = False

    async def frame(self, *, within_s: float = ANSWER_TIMEOUT_S) -> Frame:
        """Return the next frame of the peer; TimeoutError when none comes."""
        async with asyncio.timeout(within_s):
            return await self.incoming.get()

    async def rest(self, *, within_s: float = ANSWER_TIMEOUT_S) -> list[Frame]:
        """Return all further frames up to the one that ends the peer's side."""
        frames: list[Frame] = []
        async with asyncio.timeout(within_s):
            while True:
                frames.append(await self.incoming.get())
                if isinstance(frames[-1], Reset) or frames[-1].end_stream:
                    return frames

    def send_headers(self, pairs: Iterable[tuple[str, str]], *, end_stream: bool = False) -> None:
        self.connection.h2.send_headers(self.stream_id, list(pairs), end_stream=end_stream)
        self.connection.flush()

    def send_data(self, content: bytes, *, end_stream: bool = False) -> None:
        """Send as the peer's windows allow; what does not fit goes out when they grow."""
        self.unsent += content
        self.end_when_sent = end_stream
        self.connection.send_unsent(self)

    def reset(self, code: int) -> None:
        self.connection.h2.reset_stream(self.stream_id, code)
        self.connection.flush()


class Connection(asyncio.Protocol):
    """Either side of one HTTP/2 connection; hands new streams of the peer to `accept`."""

    def __init__(self, *, client_side: bool, accept: Callable[[Stream, Pairs, bool], None] | None = None) -> None:
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self.lost = asyncio.get_running_loop().create_future()
        self._accept = accept
        self._streams: dict[int, Stream] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        self.h2.increment_flow_control_window(WINDOW_BYTES - 65535)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams.values():
            stream.incoming.put_nowait(Reset(None))
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.close()
            return
        for event in events:
            self._handle(event)
        self.flush()

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                assert self._accept is not None
                stream = self.open(event.stream_id)
                self._accept(stream, _text(event.headers), event.stream_ended is not None)
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._put(event.stream_id, Headers(_text(event.headers), event.stream_ended is not None))
            case h2.events.DataReceived():
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._put(event.stream_id, Data(event.data, event.stream_ended is not None))
            case h2.events.StreamReset():
                self._put(event.stream_id, Reset(int(event.error_code)))
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in list(self._streams.values()):
                    self.send_unsent(stream)

    def _put(self, stream_id: int, frame: Frame) -> None:
        if stream_id in self._streams:
            self._streams[stream_id].incoming.put_nowait(frame)

    def open(self, stream_id: int) -> Stream:
        self._streams[stream_id] = stream = Stream(stream_id, self)
        return stream

    def send_unsent(self, stream: Stream) -> None:
        try:
            while stream.unsent:
                room = min(self.h2.local_flow_control_window(stream.stream_id), self.h2.max_outbound_frame_size)
                if room <= 0:
                    break
                self.h2.send_data(stream.stream_id, bytes(stream.unsent[:room]))
                del stream.unsent[:room]
            if stream.end_when_sent and not stream.unsent:
                stream.end_when_sent = False
                self.h2.end_stream(stream.stream_id)
        except h2.exceptions.ProtocolError:
            # The peer has closed the stream meanwhile; its frame says so to whoever reads the stream.
            stream.unsent.clear()
            stream.end_when_sent = False
        self.flush()

    def flush(self) -> None:
        assert self._transport is not None
        self._transport.write(self.h2.data_to_send())

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection without a word, as a killed process does."""
        assert self._transport is not None
        self._transport.abort()


def _text(headers: Iterable[tuple[bytes | str, bytes | str]] | None) -> Pairs:
    return tuple((_latin(name), _latin(value)) for name, value in headers or ())


def _latin(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Answer:
    """The frames of one answer."""

    frames: tuple[Frame, ...]

    @property
    def headers(self) -> list[Headers]:
        return [frame for frame in self.frames if isinstance(frame, Headers)]

    @property
    def resets(self) -> list[Reset]:
        return [frame for frame in self.frames if isinstance(frame, Reset)]

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        return unframed(b"".join(frame.content for frame in self.frames if isinstance(frame, Data)))

    def header(self, name: str) -> str | None:
        """Return the first value of `name` in any HEADERS frame of the answer."""
        values = [value for frame in self.headers for value in frame.values(name)]
        return values[0] if values else None

    @property
    def grpc_status(self) -> int | None:
        value = self.header("grpc-status")
        return None if value is None else int(value)

    @property
    def grpc_message(self) -> str:
        return self.header("grpc-message") or ""


class WireClient:
    """One HTTP/2 connection to `address` ("host:port"), without TLS."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(lambda: Connection(client_side=True), self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        self._connection.close()
        await self._connection.lost

    def abort(self) -> None:
        """Cut the connection without closing streams first."""
        assert self._connection is not None
        self._connection.abort()

    def start(
        self, path: str, *extra: tuple[str, str], end_stream: bool = False, content_type: str = "application/grpc"
    ) -> Stream:
        """Send the headers of a call; `extra` follows the ones every call has."""
        assert self._connection is not None
        stream = self._connection.open(self._connection.h2.get_next_available_stream_id())
        usual = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", f"{self._host}:{self._port}"),
            ("te", "trailers"),
            ("content-type", content_type),
        ]
        stream.send_headers([*usual, *extra], end_stream=end_stream)
        return stream

    async def call(
        self, path: str, *extra: tuple[str, str], body: bytes = b"", within_s: float = ANSWER_TIMEOUT_S
    ) -> Answer:
        """Send a whole request and return the whole answer; TimeoutError when it does not end."""
        stream = self.start(path, *extra)
        stream.send_data(body, end_stream=True)
        return Answer(tuple(await stream.rest(within_s=within_s)))


@dataclass
class WireCall:
    """A call that has reached a `WireServer`."""

    stream: Stream
    headers: Pairs
    ended: bool

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    async def body(self) -> bytes:
        """Return everything the peer sends until it half-closes or resets."""
        if self.ended:
            return b""
        return b"".join(frame.content for frame in await self.stream.rest() if isinstance(frame, Data))


Script = Callable[[WireCall], Awaitable[None]]


class WireServer:
    """A backend that does to each call what `script` says; scripts still running are cancelled at the end."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks = asyncio.TaskGroup()
        self._server: asyncio.Server | None = None
        self._connections: list[Connection] = []
        self._running: list[asyncio.Task[None]] = []
        self.address = ""

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._server = await asyncio.get_running_loop().create_server(self._connection, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def _connection(self) -> Connection:
        connection = Connection(client_side=False, accept=self._accept)
        self._connections.append(connection)
        return connection

    def _accept(self, stream: Stream, headers: Pairs, ended: bool) -> None:
        call = WireCall(stream, headers, ended)
        self._running.append(self._tasks.create_task(self._run(call), name=f"wire call {stream.stream_id}"))

    async def _run(self, call: WireCall) -> None:
        await self._script(call)

    def drop_connections(self) -> None:
        """Cut every connection, as the death of a backend does."""
        for connection in self._connections:
            connection.abort()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_connections()
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)
