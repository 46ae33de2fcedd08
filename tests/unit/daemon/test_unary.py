from __future__ import annotations

import asyncio

import pytest

from proxy.daemon.unary import UnaryAnswer, ask, deliver, reply
from proxy.errors import Code
from proxy.testing.calls import Answer, MemoryCarrier, answering, exchange, failing, hanging
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

HEAD = CallHead("/pkg.Service/Method")


async def test_an_answer_is_collected_whole() -> None:
    carrier = MemoryCarrier(answering(b"m", initial=(("h", "1"),), status=CallStatus(Code.OK, "", (("t", "2"),))))
    answer = await ask(carrier, HEAD, b"request")
    assert answer == UnaryAnswer(CallStatus(Code.OK, "", (("t", "2"),)), b"m", (("h", "1"),))
    assert answer.ok
    assert carrier.calls[0].requests == [b"request"]
    assert carrier.calls[0].half_closed
    assert carrier.calls[0].head.unary


async def test_a_refusal_is_no_answer_to_go_on_with() -> None:
    answer = await ask(MemoryCarrier(failing(Code.NOT_FOUND, "no")), HEAD, b"")
    assert not answer.ok
    assert (answer.message, answer.initial) == (None, None)


async def test_giving_up_cancels_the_call() -> None:
    carrier = MemoryCarrier(hanging())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(carrier, HEAD, b""), 0.01)
    assert carrier.calls[0].cancelled


async def delivered(answer: UnaryAnswer) -> Answer:
    async def handler(call: IncomingCall) -> None:
        status = await deliver(call, answer, suffix=b"+", trailers=(("x", "1"),))
        assert status.metadata[-1] == ("x", "1")

    return await exchange(MemoryCarrier(handler), HEAD)


async def test_an_answer_is_delivered_with_what_is_appended() -> None:
    answer = await delivered(UnaryAnswer(CallStatus(Code.OK, "", (("t", "2"),)), b"m", (("h", "1"),)))
    assert (answer.messages, answer.initial) == ((b"m+",), (("h", "1"),))
    assert answer.status.metadata == (("t", "2"), ("x", "1"))


@pytest.mark.parametrize("initial", [None, (), (("h", "1"),)])
async def test_an_error_has_headers_only_if_the_backend_sent_some(initial: tuple[tuple[str, str], ...] | None) -> None:
    answer = await delivered(UnaryAnswer(CallStatus(Code.INTERNAL, "oh"), None, initial))
    assert (answer.initial, answer.messages) == (initial, ())
    assert answer.status == CallStatus(Code.INTERNAL, "oh", (("x", "1"),))


async def test_a_reply_is_one_message_and_ok() -> None:
    async def handler(call: IncomingCall) -> None:
        await reply(call, b"m")

    assert await exchange(MemoryCarrier(handler), HEAD) == Answer(CallStatus(Code.OK), (b"m",))
