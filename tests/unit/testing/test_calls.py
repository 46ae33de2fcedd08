from __future__ import annotations

import asyncio

import pytest

from proxy.errors import Code
from proxy.testing.calls import MemoryCarrier, answering, exchange, failing, hanging
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata

HEAD = CallHead("/pkg.Service/Method", metadata=(("k", "v"),))


async def test_everything_of_an_answer_arrives() -> None:
    status = CallStatus(Code.OK, "fine", (("t", "1"),))
    carrier = MemoryCarrier(answering(b"one", b"two", initial=(("h", "1"),), status=status))
    answer = await exchange(carrier, HEAD, b"request", b"more")
    assert answer.messages == (b"one", b"two")
    assert answer.initial == (("h", "1"),)
    assert answer.status == status
    assert answer.trailer("t") == "1"
    assert answer.trailer("u") is None
    assert carrier.calls[0].requests == [b"request", b"more"]
    assert carrier.calls[0].head is HEAD


async def test_an_answer_without_headers_and_messages_has_no_initial_metadata() -> None:
    answer = await exchange(MemoryCarrier(failing(Code.UNAVAILABLE, "away", retryable=True)), HEAD)
    assert answer.initial is None
    assert answer.messages == ()
    assert answer.status == CallStatus(Code.UNAVAILABLE, "away", retryable=True)


async def test_a_sender_waits_for_room_and_goes_on_when_there_is_some() -> None:
    carrier = MemoryCarrier(hanging(), capacity=1)
    call = carrier.open(HEAD)
    await call.send(b"one")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.send(b"two"), 0.01)
    call.cancel()
    await call.send(b"dropped")


async def test_a_writer_of_answers_waits_for_its_reader() -> None:
    sent = 0

    async def handler(call: IncomingCall) -> None:
        nonlocal sent
        for _ in range(5):
            await call.send(b"x")
            sent += 1
        await call.finish(CallStatus(Code.OK))

    call = MemoryCarrier(handler, capacity=2).open(HEAD)
    assert await call.receive() == b"x"
    assert sent < 5
    assert [await call.receive() for _ in range(4)] == [b"x"] * 4
    assert await call.receive() == CallStatus(Code.OK)
    assert await call.receive() == CallStatus(Code.OK)


async def test_cancel_cancels_the_handler_and_drops_what_was_not_received() -> None:
    carrier = MemoryCarrier(hanging())
    call = carrier.open(HEAD)
    await asyncio.sleep(0)
    call.cancel()
    status = await call.receive()
    assert isinstance(status, CallStatus)
    assert status.code == Code.CANCELLED
    await asyncio.wait_for(call.served.wait(), 1)
    assert call.cancelled
    assert repr(call) == "<MemoryOutgoing /pkg.Service/Method cancelled, 0 sent>"


async def test_cancel_after_the_status_changes_nothing() -> None:
    call = MemoryCarrier(failing(Code.ABORTED)).open(HEAD)
    assert await call.receive() == CallStatus(Code.ABORTED)
    call.cancel()
    assert not call.cancelled


async def test_a_handler_that_fails_or_forgets_the_status_makes_it_internal(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(call: IncomingCall) -> None:
        raise ValueError("oh")

    async def forgetful(call: IncomingCall) -> None:
        await call.send_initial_metadata(())

    assert (await exchange(MemoryCarrier(broken), HEAD)).status.code == Code.INTERNAL
    answer = await exchange(MemoryCarrier(forgetful), HEAD)
    assert answer.status.message == "the handler returned without a status"
    assert answer.initial == ()


async def test_the_half_close_is_seen_once_and_for_all() -> None:
    seen: list[bytes | None] = []

    async def handler(call: IncomingCall) -> None:
        seen.extend([await call.receive() for _ in range(3)])
        await call.finish(CallStatus(Code.OK))

    call = MemoryCarrier(handler).open(HEAD)
    await call.send(b"only", last=True)
    await call.close_sending()
    assert await call.receive() == CallStatus(Code.OK)
    assert seen == [b"only", None, None]
    with pytest.raises(ValueError, match="after the half-close"):
        await call.send(b"late")


async def test_headers_come_before_messages() -> None:
    call = MemoryCarrier(answering(b"m", initial=(("h", "1"),))).open(HEAD)
    await call.close_sending()
    assert await call.receive() == InitialMetadata((("h", "1"),))
