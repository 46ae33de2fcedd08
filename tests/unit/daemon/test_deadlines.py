from __future__ import annotations

import asyncio
import math

import pytest

from policies.traffic import Deadline, TrafficClass
from proxy.clock import MonotonicClock
from proxy.daemon.deadlines import AnswerWatch, Limit
from proxy.errors import CallError, Code
from proxy.testing.calls import MemoryCarrier, exchange
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

CLOCK = MonotonicClock()
STRICT = TrafficClass("strict", 1.0, on_miss="fail")
LENIENT = TrafficClass("lenient", 1.0, on_miss="deliver")


def head(*, target_s: float = math.inf, limit_s: float = math.inf, unary: bool = False) -> CallHead:
    now = CLOCK.now()
    return CallHead("/s/m", deadline=Deadline(now + target_s, now + limit_s), accepted_at=now, unary=unary)


@pytest.mark.parametrize(
    ("call", "traffic_class", "needed"),
    [
        (head(), None, False),
        (head(), STRICT, False),
        (head(target_s=1), None, False),
        (head(target_s=1), LENIENT, False),
        (head(target_s=1), STRICT, True),
        (head(limit_s=1), None, True),
    ],
)
def test_only_calls_with_something_to_enforce_are_watched(
    call: CallHead, traffic_class: TrafficClass | None, needed: bool
) -> None:
    assert Limit(call, traffic_class).needed is needed


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_the_grpc_deadline_ends_the_story() -> None:
    started = CLOCK.now()
    with pytest.raises(CallError) as late:
        await Limit(head(limit_s=0.03), None).hold(wait_for_ever())
    assert 0.025 < CLOCK.now() - started < 0.2
    assert (late.value.code, late.value.message, late.value.reason) == (
        Code.DEADLINE_EXCEEDED,
        "Deadline Exceeded",
        "",
    )


async def test_the_class_s_deadline_ends_the_story_until_the_answer_begins() -> None:
    limit = Limit(head(target_s=60, limit_s=60), STRICT)

    async def story() -> None:
        limit.answer_by(CLOCK.now() + 0.02)
        await wait_for_ever()

    with pytest.raises(CallError, match="deadline of class strict passed") as late:
        await limit.hold(story())
    assert late.value.reason == "rejected-deadline-expired"


async def test_an_answer_that_has_begun_has_the_grpc_deadline_only() -> None:
    limit = Limit(head(target_s=60, limit_s=0.06), STRICT)

    async def story() -> None:
        limit.answer_by(CLOCK.now() + 0.02)
        limit.answered()
        await wait_for_ever()

    with pytest.raises(CallError, match="Deadline Exceeded"):
        await limit.hold(story())


async def test_a_lenient_class_ends_nothing() -> None:
    limit = Limit(head(target_s=0.01, limit_s=60), LENIENT)

    async def story() -> str:
        limit.answer_by(CLOCK.now() + 0.01)
        await asyncio.sleep(0.03)
        return "late"

    assert await limit.hold(story()) == "late"


async def test_the_story_s_own_timeouts_are_its_own() -> None:
    async def story() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await Limit(head(limit_s=60), None).hold(story())


async def test_being_cancelled_is_not_being_late() -> None:
    limit = Limit(head(limit_s=60), None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(limit.hold(wait_for_ever()), 0.01)


def test_messages_of_a_stream_have_the_call_s_budget_each() -> None:
    call = CallHead("/s/m", deadline=Deadline(11.5, 20.0), accepted_at=10.0)
    limit = Limit(call, STRICT)
    assert limit.target_at == 11.5
    assert limit.target_of_message(received_at=100.0) == 101.5


async def watched(call: CallHead, *requests: bytes) -> CallStatus:
    limit = Limit(call, STRICT)

    async def handler(incoming: IncomingCall) -> None:
        watch = AnswerWatch(incoming, limit, clock=CLOCK)
        assert watch.head is call

        async def story() -> None:
            while await watch.receive() is not None:
                pass
            await watch.send_initial_metadata(())
            await wait_for_ever()

        try:
            await limit.hold(story())
        except CallError as late:
            await watch.finish(CallStatus(late.code, late.message))

    return (await asyncio.wait_for(exchange(MemoryCarrier(handler), call, *requests), 1)).status


async def test_a_stream_is_held_to_its_class_from_its_first_message_on() -> None:
    status = await watched(head(target_s=0.03, limit_s=60), b"x")
    assert status.message == "the deadline of class strict passed before the answer began"
