from __future__ import annotations

import asyncio

import pytest

from proxy.errors import Code
from proxy.relay import relay
from proxy.testing.calls import Answer, MemoryCarrier, answering, exchange, failing, hanging
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, IncomingCall

HEAD = CallHead("/pkg.Service/Method")
UNARY = CallHead("/pkg.Service/Method", unary=True)


class Way:
    """A client, a relay and a backend, joined in memory with room for `capacity` messages between two."""

    def __init__(self, backend: CallHandler, *, capacity: int = 16) -> None:
        self.backend = MemoryCarrier(backend, capacity=capacity)
        self.client = MemoryCarrier(self._serve, capacity=capacity)

    async def _serve(self, call: IncomingCall) -> None:
        await call.finish(await relay(call, self.backend.open(call.head)))

    async def ask(self, *messages: bytes, head: CallHead = HEAD) -> Answer:
        return await asyncio.wait_for(exchange(self.client, head, *messages), 5)


async def echo(call: IncomingCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)
    await call.finish(CallStatus(Code.OK))


@pytest.mark.parametrize("head", [HEAD, UNARY], ids=["streaming", "unary"])
async def test_everything_of_an_answer_passes(head: CallHead) -> None:
    status = CallStatus(Code.OK, "fine", (("t", "1"),))
    way = Way(answering(b"answer", initial=(("h", "1"),), status=status))
    assert await way.ask(b"request", head=head) == Answer(status, (b"answer",), (("h", "1"),))
    assert way.backend.calls[0].requests == [b"request"]
    assert way.backend.calls[0].half_closed


async def test_more_messages_than_there_is_room_for_pass_both_ways() -> None:
    way = Way(echo, capacity=2)
    messages = [bytes([index]) for index in range(100)]
    assert (await way.ask(*messages)).messages == tuple(messages)


async def test_no_messages_at_all() -> None:
    assert await Way(echo).ask() == Answer(CallStatus(Code.OK))


@pytest.mark.parametrize("head", [HEAD, UNARY], ids=["streaming", "unary"])
async def test_trailers_only_stays_trailers_only(head: CallHead) -> None:
    status = CallStatus(Code.NOT_FOUND, "gone", (("t", "1"),))
    answer = await Way(failing(Code.NOT_FOUND, "gone", metadata=(("t", "1"),))).ask(b"request", head=head)
    assert answer == Answer(status, (), None)


async def test_a_backend_may_speak_first() -> None:
    async def greeting(call: IncomingCall) -> None:
        await call.send(b"hello")
        assert await call.receive() == b"hi"
        assert await call.receive() is None
        await call.finish(CallStatus(Code.OK))

    call = Way(greeting).client.open(HEAD)
    assert await asyncio.wait_for(call.receive(), 1) == b"hello"
    await call.send(b"hi", last=True)
    assert await asyncio.wait_for(call.receive(), 1) == CallStatus(Code.OK)


async def test_the_half_close_passes_before_the_answer() -> None:
    way = Way(answering(b"only then"))
    call = way.client.open(HEAD)
    await call.send(b"request")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.receive(), 0.01)
    await call.close_sending()
    assert await asyncio.wait_for(call.receive(), 1) == b"only then"


async def test_a_backend_may_answer_before_it_has_read_everything() -> None:
    way = Way(failing(Code.RESOURCE_EXHAUSTED, "enough"), capacity=1)
    answer = await way.ask(*[b"x"] * 50)
    assert answer.status == CallStatus(Code.RESOURCE_EXHAUSTED, "enough")


async def test_a_slow_reader_slows_the_backend() -> None:
    sent = 0

    async def endless(call: IncomingCall) -> None:
        nonlocal sent
        while True:
            await call.send(b"x")
            sent += 1

    call = Way(endless, capacity=2).client.open(HEAD)
    assert await asyncio.wait_for(call.receive(), 1) == b"x"
    for _ in range(100):
        await asyncio.sleep(0)
    assert sent <= 8
    call.cancel()


async def test_a_backend_that_does_not_read_slows_the_client() -> None:
    way = Way(hanging(), capacity=2)
    call = way.client.open(HEAD)

    async def send_forever() -> None:
        while True:
            await call.send(b"x")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send_forever(), 0.02)
    assert 2 <= len(call.requests) <= 8
    call.cancel()


@pytest.mark.parametrize("head", [HEAD, UNARY], ids=["streaming", "unary"])
async def test_a_cancelled_relay_cancels_the_call_onward_and_half_closes_nothing(head: CallHead) -> None:
    way = Way(hanging())
    call = way.client.open(head)
    await call.send(b"request")
    await asyncio.wait_for(way.backend.opened.wait(), 1)
    call.cancel()
    [onward] = way.backend.calls
    await asyncio.wait_for(onward.served.wait(), 1)
    assert onward.cancelled
    assert not onward.half_closed or head.unary


async def test_a_unary_request_without_a_message_is_refused_and_the_call_onward_given_up() -> None:
    way = Way(hanging())
    answer = await way.ask(head=UNARY)
    assert answer == Answer(CallStatus(Code.INTERNAL, "a unary request ended without a message"))
    assert way.backend.calls[0].cancelled


async def test_the_status_ends_the_reading_of_requests() -> None:
    """The client never half-closes, so the task that reads from it would wait for ever."""
    way = Way(failing(Code.ABORTED))
    call = way.client.open(HEAD)
    await call.send(b"one")
    assert await asyncio.wait_for(call.receive(), 1) == CallStatus(Code.ABORTED)
    await asyncio.wait_for(call.served.wait(), 1)
    await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "requests"] == []
