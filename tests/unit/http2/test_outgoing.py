from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs lack it

from policies.traffic import Deadline
from proxy.clock import MonotonicClock
from proxy.errors import Code
from proxy.http2.outgoing import GrpcCarrier, channel_options
from proxy.tasks import spawn
from proxy.testing.calls import Answer, exchange
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, Metadata
from tests.conformance.wire import WireCall, WireServer
from tests.unit.http2.serving import METHOD, Backend, Behaviour, serving

NAME = "triton 'a' at gpu:8001"
LIMIT = 1024 * 1024
PATIENT_S = 5.0
"""How long to wait for the status of a Trailers-Only answer where the machine may be busy."""
BOTH = pytest.mark.parametrize("unary", [False, True], ids=["streaming", "unary"])


def head(*metadata: tuple[str, str | bytes], unary: bool = False, limit_at: float = math.inf) -> CallHead:
    return CallHead(METHOD, metadata, deadline=Deadline(limit_at, limit_at), unary=unary)


@contextlib.asynccontextmanager
async def carrier_to(address: str, **options: Any) -> AsyncIterator[GrpcCarrier]:
    async with grpc.aio.insecure_channel(address, options=channel_options(LIMIT)) as channel:
        yield GrpcCarrier(channel, name=NAME, **{"clock": MonotonicClock(), **options})


@contextlib.asynccontextmanager
async def reaching(behave: Behaviour, **options: Any) -> AsyncIterator[GrpcCarrier]:
    """A carrier to a stock server that behaves so."""
    async with serving(Backend(behave)) as address, carrier_to(address, **options) as carrier:
        yield carrier


async def ask(carrier: GrpcCarrier, *messages: bytes, to: CallHead) -> Answer:
    return await asyncio.wait_for(exchange(carrier, to, *messages), 5)


async def echo(_: object, context: Any) -> None:
    async for message in _messages(context):
        await context.write(message)


async def _messages(context: Any) -> AsyncIterator[bytes]:
    while (message := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs lack it
        yield message


class TestArities:
    @BOTH
    async def test_unary(self, unary: bool) -> None:
        async with reaching(echo) as carrier:
            answer = await ask(carrier, b"hello", to=head(unary=unary))
        assert answer.messages == (b"hello",)
        assert answer.status == CallStatus(Code.OK)

    @BOTH
    async def test_an_empty_message(self, unary: bool) -> None:
        async with reaching(echo) as carrier:
            assert (await ask(carrier, b"", to=head(unary=unary))).messages == (b"",)

    async def test_a_stream_of_answers(self) -> None:
        async def count(_: object, context: Any) -> None:
            for message in (b"one", b"two", b"three"):
                await context.write(message)

        async with reaching(count) as carrier:
            assert (await ask(carrier, b"request", to=head())).messages == (b"one", b"two", b"three")

    async def test_a_stream_of_requests(self) -> None:
        async def gather(_: object, context: Any) -> None:
            await context.write(b"+".join([message async for message in _messages(context)]))

        async with reaching(gather) as carrier:
            assert (await ask(carrier, b"one", b"two", b"three", to=head())).messages == (b"one+two+three",)

    async def test_streams_both_ways_by_turns(self) -> None:
        async with reaching(echo) as carrier:
            call = carrier.open(head())
            assert repr(call) == f"<StreamingOutgoingCall to {NAME} headers_seen=False>"
            await call.send(b"one")
            assert await call.receive() == InitialMetadata()
            assert await call.receive() == b"one"
            await call.send(b"two", last=True)
            assert await call.receive() == b"two"
            assert await call.receive() == CallStatus(Code.OK)
            await call.send(b"dropped")
            await call.close_sending()
            call.cancel()
            assert await call.receive() == CallStatus(Code.OK)

    async def test_an_empty_stream(self) -> None:
        async with reaching(echo) as carrier:
            answer = await ask(carrier, to=head())
        assert (answer.messages, answer.status) == ((), CallStatus(Code.OK))


class TestMetadata:
    @BOTH
    async def test_both_ways(self, unary: bool) -> None:
        seen: list[Metadata] = []

        async def behave(_: object, context: Any) -> None:
            await context.read()
            seen.append(tuple(context.invocation_metadata()))
            await context.send_initial_metadata((("h", "1"), ("h-bin", b"\x01")))
            context.set_trailing_metadata((("t", "1"), ("t", "2"), ("t-bin", b"\xff")))
            await context.write(b"m")

        async with reaching(behave, extra_metadata=lambda head: (("path", head.path),)) as carrier:
            answer = await ask(carrier, b"", to=head(("k", "1"), ("k", "2"), ("k-bin", b"\x00"), unary=unary))
        ours = [(key, value) for key, value in seen[0] if key in ("k", "k-bin", "path")]
        assert sorted(ours, key=str) == [("k", "1"), ("k", "2"), ("k-bin", b"\x00"), ("path", METHOD)]
        assert sorted(answer.initial or (), key=str) == [("h", "1"), ("h-bin", b"\x01")]
        assert sorted(answer.status.metadata, key=str) == [("t", "1"), ("t", "2"), ("t-bin", b"\xff")]

    @BOTH
    async def test_what_belongs_to_the_backend_s_hop_stays_there(self, unary: bool) -> None:
        foreign = (("connection", "x"), ("headway-token", "x"), ("priority", "u=0"))

        async def behave(_: object, context: Any) -> None:
            await context.read()
            await context.send_initial_metadata((("h", "1"), *foreign))
            context.set_trailing_metadata((("t", "1"), *foreign))
            await context.write(b"m")

        async with reaching(behave) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary))
        assert answer.initial == (("h", "1"),)
        assert answer.status.metadata == (("t", "1"),)


class TestStatus:
    @BOTH
    @pytest.mark.parametrize("code", list(grpc.StatusCode)[1:])
    async def test_every_status_of_a_trailers_only_answer(self, unary: bool, code: grpc.StatusCode) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.read()
            await context.abort(code, "Größe: 100 %", (("grpc-status-details-bin", b"\x08"),))

        async with reaching(behave, headers_grace_s=PATIENT_S) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary))
        assert answer == Answer(
            CallStatus(code.value[0], "Größe: 100 %", (("grpc-status-details-bin", b"\x08"),)), (), None
        )

    async def test_headers_before_an_error_are_headers(self) -> None:
        go_on = asyncio.Event()

        async def behave(_: object, context: Any) -> None:
            await context.send_initial_metadata(())
            await go_on.wait()
            await context.abort(grpc.StatusCode.ABORTED, "then")

        async with reaching(behave) as carrier:
            call = carrier.open(head())
            assert await asyncio.wait_for(call.receive(), 5) == InitialMetadata()
            go_on.set()
            assert await asyncio.wait_for(call.receive(), 5) == CallStatus(Code.ABORTED, "then")

    async def test_messages_before_an_error_arrive(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.write(b"one")
            await context.write(b"two")
            await context.abort(grpc.StatusCode.DATA_LOSS, "then")

        async with reaching(behave) as carrier:
            answer = await ask(carrier, to=head())
        assert answer == Answer(CallStatus(Code.DATA_LOSS, "then"), (b"one", b"two"), ())

    @BOTH
    async def test_a_trailers_only_answer_on_the_wire(self, unary: bool) -> None:
        async def behave(call: WireCall) -> None:
            await call.body()
            headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"), ("t", "1")]
            call.stream.send_headers([*headers, ("grpc-message", "gr%C3%BCn %ZZ")], end_stream=True)

        async with WireServer(behave) as server, carrier_to(server.address, headers_grace_s=PATIENT_S) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary))
        assert answer == Answer(CallStatus(Code.NOT_FOUND, "grün %ZZ", (("t", "1"),)))

    async def test_an_ok_to_a_unary_call_without_a_message_brings_none(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.read()

        async with reaching(behave) as carrier:
            answer = await ask(carrier, b"", to=head(unary=True))
        assert answer == Answer(CallStatus(Code.OK))

    async def test_a_message_beyond_the_limit(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.write(bytes(LIMIT + 1))

        async with reaching(behave) as carrier:
            answer = await ask(carrier, to=head())
        assert answer.status.code == Code.RESOURCE_EXHAUSTED
        assert "1048577 vs. 1048576" in answer.status.message


class TestUpload:
    """The backend ends a call of which much is still to be sent, so that a write of ours fails."""

    @pytest.mark.slow
    async def test_its_status_stays(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you", (("t", "1"),))

        async with reaching(behave) as carrier:
            answers = [await ask(carrier, *[bytes(200_000)] * 20, to=head()) for _ in range(50)]
        assert {answer.status for answer in answers} == {CallStatus(Code.PERMISSION_DENIED, "not you", (("t", "1"),))}

    @pytest.mark.slow
    async def test_its_answer_stays(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.read()
            await context.write(b"enough")

        async with reaching(behave) as carrier:
            answers = [await ask(carrier, *[bytes(200_000)] * 20, to=head()) for _ in range(50)]
        assert {(answer.messages, answer.status) for answer in answers} == {((b"enough",), CallStatus(Code.OK))}

    async def test_a_backend_that_does_not_read_slows_the_writer(self) -> None:
        stopped = asyncio.Event()

        async def behave(_: object, context: Any) -> None:
            await stopped.wait()

        async with reaching(behave) as carrier:
            call = carrier.open(head())

            async def send_forever() -> None:
                while True:
                    await call.send(bytes(64 * 1024))

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send_forever(), 0.1)
            call.cancel()
            stopped.set()


class TestReaching:
    @BOTH
    async def test_nobody_there_is_unavailable_named_and_may_be_retried(self, unary: bool) -> None:
        async with serving(Backend(echo)) as address:
            pass
        async with carrier_to(address) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary))
        assert answer.status.code == Code.UNAVAILABLE
        assert answer.status.message.startswith(f"{NAME} is unreachable: failed to connect to all addresses")
        assert answer.status.retryable
        assert answer.initial is None

    @BOTH
    async def test_a_backend_that_dies_is_unavailable_named_and_not_retried(self, unary: bool) -> None:
        reached = asyncio.Event()

        async def hold(call: WireCall) -> None:
            reached.set()
            await call.stream.rest()

        async with WireServer(hold) as server, carrier_to(server.address) as carrier, asyncio.TaskGroup() as group:
            answer = group.create_task(ask(carrier, b"", to=head(unary=unary)))
            await asyncio.wait_for(reached.wait(), 5)
            server.drop_connections()
        status = answer.result().status
        assert status.code == Code.UNAVAILABLE
        assert status.message.startswith(f"{NAME} broke the connection: ")
        assert not status.retryable

    @BOTH
    async def test_what_a_backend_calls_unavailable_is_its_own_affair(self, unary: bool) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.read()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Request timeout expired")

        async with reaching(behave) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary))
        assert answer.status == CallStatus(Code.UNAVAILABLE, "Request timeout expired")

    async def test_what_it_says_of_itself(self) -> None:
        async with reaching(echo) as carrier:
            assert carrier.name == NAME
            assert repr(carrier) == f"<GrpcCarrier to {NAME}>"


class TestDeadline:
    @BOTH
    @pytest.mark.parametrize(("limit_at", "expected_s"), [(105.0, 5.0), (math.inf, None)])
    async def test_the_limit_becomes_a_timeout(self, unary: bool, limit_at: float, expected_s: float | None) -> None:
        left: list[float | None] = []

        async def behave(_: object, context: Any) -> None:
            left.append(context.time_remaining())
            await echo(_, context)

        async with reaching(behave, clock=ManualClock(now=100.0)) as carrier:
            await ask(carrier, b"", to=head(unary=unary, limit_at=limit_at))
        assert left == [expected_s if expected_s is None else pytest.approx(expected_s, abs=0.5)]

    @BOTH
    @pytest.mark.parametrize("limit_at", [99.0, 100.0])
    async def test_a_call_whose_limit_has_passed_is_not_made(self, unary: bool, limit_at: float) -> None:
        sleeper = Sleeper()
        async with reaching(sleeper.behave, clock=ManualClock(now=100.0)) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary, limit_at=limit_at))
        assert answer == Answer(CallStatus(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))
        assert not sleeper.begun.is_set()

    @BOTH
    async def test_a_backend_that_sleeps(self, unary: bool) -> None:
        async def behave(_: object, context: Any) -> None:
            await asyncio.Event().wait()

        async with reaching(behave) as carrier:
            answer = await ask(carrier, b"", to=head(unary=unary, limit_at=MonotonicClock().now() + 0.05))
        assert answer.status.code == Code.DEADLINE_EXCEEDED


class Sleeper:
    """A backend that never answers and notes when it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def behave(self, _: object, context: Any) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


CANCELLED = CallStatus(Code.CANCELLED, "cancelled by the caller")


class TestCancel:
    @BOTH
    async def test_the_backend_stops_and_a_reader_is_told(self, unary: bool) -> None:
        sleeper = Sleeper()
        async with reaching(sleeper.behave) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head(unary=unary))
            await call.send(b"request", last=True)
            event = group.create_task(call.receive())
            await asyncio.wait_for(sleeper.begun.wait(), 5)
            call.cancel()
            assert await asyncio.wait_for(event, 5) == CANCELLED
            assert await call.receive() == CANCELLED
            await asyncio.wait_for(sleeper.cancelled.wait(), 5)

    async def test_a_reader_of_messages_is_told_too(self) -> None:
        async def behave(_: object, context: Any) -> None:
            await context.write(b"one")
            await asyncio.Event().wait()

        async with reaching(behave) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head())
            assert [await call.receive(), await call.receive()] == [InitialMetadata(), b"one"]
            event = group.create_task(call.receive())
            await asyncio.sleep(0)
            call.cancel()
            assert await asyncio.wait_for(event, 5) == CANCELLED

    async def test_a_writer_that_waits_for_the_connection_goes_on(self) -> None:
        async with reaching(echo) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head())
            sent = group.create_task(call.send(b"never"))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait_for(sent, 5)

    async def test_a_writer_that_waits_for_room_goes_on(self) -> None:
        sleeper = Sleeper()
        async with reaching(sleeper.behave) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head())

            async def send_much() -> None:
                for _ in range(20):
                    await call.send(bytes(200_000))

            sent = group.create_task(send_much())
            await asyncio.wait_for(sleeper.begun.wait(), 5)
            call.cancel()
            await asyncio.wait_for(sent, 5)
            await call.close_sending()

    @BOTH
    async def test_a_reader_that_is_cancelled_itself_is_cancelled(self, unary: bool) -> None:
        sleeper = Sleeper()
        async with reaching(sleeper.behave) as carrier:
            call = carrier.open(head(unary=unary))
            await call.send(b"request", last=True)
            reader = spawn(call.receive(), name="reader")
            await asyncio.wait_for(sleeper.begun.wait(), 5)
            reader.cancel()
            await asyncio.wait({reader}, timeout=5)
            assert reader.cancelled()
            call.cancel()
            await asyncio.wait_for(sleeper.cancelled.wait(), 5)

    async def test_a_unary_call_that_was_not_sent_never_begins(self) -> None:
        sleeper = Sleeper()
        async with reaching(sleeper.behave) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head(unary=True))
            event = group.create_task(call.receive())
            await asyncio.sleep(0)
            call.cancel()
            await call.send(b"late", last=True)
            assert await asyncio.wait_for(event, 5) == CANCELLED
            assert await call.receive() == CANCELLED
            assert repr(call) == f"<UnaryOutgoingCall to {NAME} started=False>"

    async def test_a_unary_call_without_a_message_never_begins(self) -> None:
        async with reaching(echo) as carrier:
            answer = await ask(carrier, to=head(unary=True))
        assert answer == Answer(CallStatus(Code.INTERNAL, "a unary request ended without a message"))

    async def test_a_unary_call_may_be_read_before_it_is_sent(self) -> None:
        async with reaching(echo) as carrier, asyncio.TaskGroup() as group:
            call = carrier.open(head(unary=True))
            event = group.create_task(call.receive())
            await asyncio.sleep(0)
            await call.send(b"hello", last=True)
            await call.close_sending()
            assert await asyncio.wait_for(event, 5) == b"hello"
            assert [await call.receive() for _ in range(2)] == [CallStatus(Code.OK)] * 2


async def test_what_is_used_of_grpc_s_inside_is_there() -> None:
    """A canary: `outgoing` writes past `call.write`, which would replace the backend's status by its own."""
    assert issubclass(cygrpc.InternalError, Exception)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        method: Any = channel.stream_stream
        call = method(METHOD)()
        assert isinstance(call._metadata_sent, asyncio.Event)
        assert callable(call._cython_call.send_serialized_message)
        call.cancel()
