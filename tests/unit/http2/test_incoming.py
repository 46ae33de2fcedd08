from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.http2.incoming import GenericHandler, plain_head, readable_peer
from proxy.testing.calls import answering, failing, hanging
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, IncomingCall
from tests.conformance.wire import Headers, WireClient
from tests.unit.http2.serving import METHOD, UNARY, channel_to, serving

BOTH = pytest.mark.parametrize("path", [METHOD, UNARY], ids=["streaming", "unary"])


class Door:
    """A handler of ours behind a stock server, when its clock reads 100 s."""

    def __init__(self, handler: CallHandler) -> None:
        self.heads: list[CallHead] = []
        self.active: list[int] = []
        self.begun, self.over = asyncio.Event(), asyncio.Event()
        self._handler = handler
        self.generic = GenericHandler(
            self._serve, clock=ManualClock(now=100.0), read_head=plain_head, active=self._count
        )

    async def _serve(self, call: IncomingCall) -> None:
        self.heads.append(call.head)
        self.begun.set()
        await self._handler(call)

    def _count(self, change: int) -> None:
        self.active.append(change)
        if change < 0:
            self.over.set()


@contextlib.asynccontextmanager
async def behind(handler: CallHandler) -> AsyncIterator[tuple[Door, Any]]:
    """The handler's door and a stock client's channel to it."""
    door = Door(handler)
    async with serving(door.generic) as address, channel_to(address) as channel:
        yield door, channel


async def echo(call: IncomingCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)
    await call.finish(CallStatus(Code.OK))


async def gather(call: IncomingCall) -> None:
    parts = []
    while (message := await call.receive()) is not None:
        parts.append(message)
    await call.send(b"+".join(parts))
    await call.finish(CallStatus(Code.OK))


class TestArities:
    @BOTH
    async def test_unary(self, path: str) -> None:
        async with behind(echo) as (door, channel):
            assert await channel.unary_unary(path)(b"hello", timeout=5) == b"hello"
        assert door.heads[0].path == path
        assert door.heads[0].unary is (path == UNARY)

    @BOTH
    async def test_an_empty_message(self, path: str) -> None:
        async with behind(echo) as (_, channel):
            assert await channel.unary_unary(path)(b"", timeout=5) == b""

    async def test_a_stream_of_answers(self) -> None:
        async with behind(answering(b"one", b"two", b"three")) as (_, channel):
            call = channel.unary_stream(METHOD)(b"request", timeout=5)
            assert [message async for message in call] == [b"one", b"two", b"three"]

    async def test_a_stream_of_requests(self) -> None:
        async with behind(gather) as (_, channel):
            call = channel.stream_unary(METHOD)(iter([b"one", b"two", b"three"]), timeout=5)
            assert await call == b"one+two+three"

    async def test_streams_both_ways_by_turns(self) -> None:
        async with behind(echo) as (_, channel):
            call = channel.stream_stream(METHOD)(timeout=5)
            for message in (b"one", b"two"):
                await call.write(message)
                assert await call.read() == message
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it

    async def test_an_empty_stream(self) -> None:
        async with behind(echo) as (_, channel):
            call = channel.stream_stream(METHOD)(timeout=5)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
            assert await call.code() is grpc.StatusCode.OK


class TestHead:
    @BOTH
    async def test_what_a_client_sends(self, path: str) -> None:
        metadata = (("k", "1"), ("k-bin", b"\x00\xff"), ("k", "2"), ("authorization", "Bearer x"))
        hop = (("x-headway-model", "forged"), ("priority", "u=1"), ("headway-token", "forged"))
        async with behind(echo) as (door, channel):
            await channel.unary_unary(path)(b"", metadata=(*metadata, *hop), timeout=5)
        [head] = door.heads
        assert [value for key, value in head.metadata if key == "k"] == ["1", "2"]
        assert sorted(head.metadata, key=str) == sorted(metadata, key=str)
        assert head.accepted_at == 100.0
        assert head.traffic_class == ""
        assert re.fullmatch(r"127\.0\.0\.1:\d+", head.peer)

    @BOTH
    async def test_a_grpc_deadline_is_an_instant_on_our_clock(self, path: str) -> None:
        async with behind(echo) as (door, channel):
            await channel.unary_unary(path)(b"", timeout=5)
        deadline = door.heads[0].deadline
        assert deadline.limit_at == pytest.approx(105, abs=0.5)
        assert deadline.target_at == deadline.limit_at

    @pytest.mark.parametrize("field", [(), (("grpc-timeout", "99999999H"),)], ids=["none", "as good as none"])
    async def test_no_deadline(self, field: tuple[tuple[str, str], ...]) -> None:
        door = Door(echo)
        async with serving(door.generic) as address, WireClient(address) as wire:
            await wire.call(METHOD, *field, body=bytes(5))
        assert door.heads[0].deadline == Deadline(math.inf, math.inf)

    @pytest.mark.parametrize(
        ("peer", "readable"),
        [
            ("ipv4:127.0.0.1:5000", "127.0.0.1:5000"),
            ("ipv6:%5B::1%5D:5000", "[::1]:5000"),
            ("ipv6:[::1]:5000", "[::1]:5000"),
            ("unix:/tmp/socket", "unix:/tmp/socket"),
            ("unix:", "unix:"),
            ("", ""),
        ],
    )
    def test_peers(self, peer: str, readable: str) -> None:
        assert readable_peer(peer) == readable


class TestAnswer:
    @BOTH
    async def test_everything_of_an_answer(self, path: str) -> None:
        status = CallStatus(Code.OK, "", (("t", "1"), ("t-bin", b"\x00\xff")))
        async with behind(answering(b"m", initial=(("h", "1"), ("h-bin", b"\x01")), status=status)) as (_, channel):
            call = channel.unary_unary(path)(b"", timeout=5)
            assert await call == b"m"
            assert sorted(await call.initial_metadata()) == [("h", "1"), ("h-bin", b"\x01")]
            assert sorted(await call.trailing_metadata()) == [("t", "1"), ("t-bin", b"\x00\xff")]

    @BOTH
    @pytest.mark.parametrize("code", list(Code)[1:])
    async def test_every_status(self, path: str, code: Code) -> None:
        metadata = (("grpc-status-details-bin", b"\x08\x05"), ("t", "1"))
        async with behind(failing(code, "Größe: 100 %", metadata=metadata)) as (_, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=5)
        assert caught.value.code().value[0] == code
        assert caught.value.details() == "Größe: 100 %"
        trailing: Any = caught.value.trailing_metadata()
        assert sorted(trailing) == sorted(metadata)

    @BOTH
    async def test_an_error_without_headers_is_trailers_only_on_the_wire(self, path: str) -> None:
        door = Door(failing(Code.NOT_FOUND, "gone"))
        async with serving(door.generic) as address, WireClient(address) as wire:
            answer = await wire.call(path, body=bytes(5))
        [only] = answer.frames
        assert isinstance(only, Headers)
        assert only.end_stream
        assert only.values("grpc-status") == ["5"]
        assert only.values("grpc-message") == ["gone"]

    async def test_an_error_after_headers_is_not(self) -> None:
        async def handler(call: IncomingCall) -> None:
            await call.send_initial_metadata(())
            await call.finish(CallStatus(Code.NOT_FOUND, "gone"))

        async with serving(Door(handler).generic) as address, WireClient(address) as wire:
            answer = await wire.call(METHOD, body=bytes(5))
        assert [frame.values("grpc-status") for frame in answer.headers] == [[], ["5"]]

    async def test_headers_go_out_once_and_at_once(self) -> None:
        go_on = asyncio.Event()

        async def handler(call: IncomingCall) -> None:
            await call.send_initial_metadata((("h", "1"),))
            await call.send_initial_metadata((("h", "2"),))
            await go_on.wait()
            await call.send(b"m")
            await call.send_initial_metadata((("h", "3"),))
            await call.finish(CallStatus(Code.OK))

        async with behind(handler) as (_, channel):
            call = channel.unary_stream(METHOD)(b"", timeout=5)
            assert list(await call.initial_metadata()) == [("h", "1")]
            go_on.set()
            assert [message async for message in call] == [b"m"]

    @BOTH
    async def test_of_two_statuses_the_first_counts(self, path: str) -> None:
        async def handler(call: IncomingCall) -> None:
            await call.finish(CallStatus(Code.ABORTED, "first"))
            await call.finish(CallStatus(Code.OK))

        async with behind(handler) as (_, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=5)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ABORTED, "first")

    async def test_a_slow_reader_slows_the_handler(self) -> None:
        sent = 0

        async def endless(call: IncomingCall) -> None:
            nonlocal sent
            while True:
                await call.send(bytes(64 * 1024))
                sent += 1

        door = Door(endless)
        fixed_window = ("grpc.http2.bdp_probe", 0)
        async with serving(door.generic) as address, channel_to(address, fixed_window) as channel:
            call = channel.unary_stream(METHOD)(b"", timeout=5)
            assert len(await call.read()) == 64 * 1024
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(door.over.wait(), 0.1)
            assert sent < 10
            call.cancel()
            await asyncio.wait_for(door.over.wait(), 5)


class TestFaults:
    @BOTH
    async def test_a_handler_that_fails(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        async def broken(call: IncomingCall) -> None:
            raise LookupError("of no concern to clients")

        async with behind(broken) as (door, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=5)
        assert (caught.value.code(), caught.value.details()) == (
            grpc.StatusCode.INTERNAL,
            "internal error in headway",
        )
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (logging.ERROR, f"Call {path} failed")
        ]
        assert door.active == [1, -1]

    @BOTH
    async def test_a_handler_that_forgets_the_status(self, path: str) -> None:
        async def forgetful(call: IncomingCall) -> None:
            await call.receive()

        async with behind(forgetful) as (_, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == "the call was ended without a status"

    async def test_a_unary_answer_without_a_message_is_no_empty_one(self) -> None:
        async with behind(answering()) as (_, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(UNARY)(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == "the answer to a unary call has no message"


class TestGoingAway:
    async def test_a_write_to_a_client_that_has_gone_is_no_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """Many times, for the race between the write that fails and the cancelling."""

        async def endless(call: IncomingCall) -> None:
            while True:
                await call.send(bytes(64 * 1024))

        async with behind(endless) as (door, channel):
            for _ in range(30):
                door.over.clear()
                call = channel.unary_stream(METHOD)(b"", timeout=5)
                await call.read()
                call.cancel()
                await asyncio.wait_for(door.over.wait(), 5)
        assert [record for record in caplog.records if record.name.startswith("proxy.")] == []
        assert door.active == [1, -1] * 30

    @BOTH
    async def test_an_answer_beyond_the_server_s_limit_is_grpc_s_to_refuse(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        door = Door(answering(bytes(10_001)))
        async with (
            serving(door.generic, ("grpc.max_send_message_length", 10_000)) as address,
            channel_to(address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "10001 vs. 10000" in (caught.value.details() or "")
        assert [record for record in caplog.records if record.name.startswith("proxy.")] == []

    @BOTH
    async def test_a_client_s_cancel_cancels_the_handler(self, path: str) -> None:
        async with behind(hanging()) as (door, channel):
            call = channel.unary_unary(path)(b"")
            await asyncio.wait_for(door.begun.wait(), 5)
            call.cancel()
            await asyncio.wait_for(door.over.wait(), 5)
        assert door.active == [1, -1]

    @BOTH
    async def test_a_grpc_deadline_cancels_the_handler(self, path: str) -> None:
        async with behind(hanging()) as (door, channel):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(path)(b"", timeout=0.3)  # enough for it to begin
            await asyncio.wait_for(door.over.wait(), 5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    @BOTH
    async def test_a_lost_connection_cancels_the_handler(self, path: str) -> None:
        door = Door(hanging())
        async with serving(door.generic) as address, WireClient(address) as wire:
            wire.start(path).send_data(bytes(5))
            await asyncio.wait_for(door.begun.wait(), 5)
            wire.abort()
            await asyncio.wait_for(door.over.wait(), 5)

    @pytest.mark.parametrize("messages", [0, 2])
    async def test_a_cancelled_upload_does_not_look_complete(self, messages: int) -> None:
        """grpc shows the handler the end of the stream, and only then that the client cancelled it."""
        complete = 0

        async def upload(call: IncomingCall) -> None:
            nonlocal complete
            for _ in range(messages):
                await call.receive()
            ready.set()
            if await call.receive() is None:
                complete += 1

        async with behind(upload) as (door, channel):
            for _ in range(20):
                ready = asyncio.Event()
                door.over.clear()
                call = channel.stream_unary(METHOD)()
                for _ in range(messages):
                    await call.write(b"part")
                await asyncio.wait_for(ready.wait(), 5)
                call.cancel()
                await asyncio.wait_for(door.over.wait(), 5)
        assert complete == 0
