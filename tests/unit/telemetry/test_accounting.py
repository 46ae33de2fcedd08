from __future__ import annotations

import math

import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.telemetry.accounting import Account, account_for, tell
from proxy.telemetry.streamed_answer import StreamedAnswer
from proxy.testing.calls import MemoryCarrier, exchange
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, FarTimes, IncomingCall
from tests.unit.daemon.spans import RecordedSpan


def head(times: CallTimes, *, target_at: float = 101.0, limit_at: float = math.inf) -> CallHead:
    return CallHead("/p.S/M", deadline=Deadline(target_at, limit_at), accepted_at=100.0, times=times)


def answered() -> CallTimes:
    times = CallTimes()
    times.received_at = times.sent_at = 100.0
    times.far = FarTimes(100.25, None, None, 100.25, None, 100.75)
    times.far_ahead_s = 0.0
    times.answer_began_at = times.answered_at = times.ended_at = 101.25
    return times


@pytest.mark.parametrize(
    ("target_at", "stage"), [(100.2, "uplink_transfer"), (100.5, "backend"), (101.0, "downlink_wait"), (101.3, "")]
)
def test_an_answer_is_late_where_its_deadline_passed(target_at: float, stage: str) -> None:
    account = account_for(head(answered(), target_at=target_at), Code.OK, at=101.25)
    assert account.missed_at == stage
    assert account.slack_s == pytest.approx(target_at - 101.25)
    assert [name for name, _ in account.stages][-1] == "delivery"


def test_without_a_deadline_there_is_nothing_to_miss() -> None:
    for code in (Code.OK, Code.DEADLINE_EXCEEDED, Code.CANCELLED):
        account = account_for(head(answered(), target_at=math.inf), code, at=101.25)
        assert (account.missed_at, account.slack_s) == ("", math.inf)


@pytest.mark.parametrize("target_at", [100.5, 100.9, 105.0])
def test_a_daemon_that_says_that_time_is_up_had_the_call_then(target_at: float) -> None:
    """Its clock is compared with ours but roughly, and its word comes after the deadline."""
    account = account_for(head(answered(), target_at=target_at), Code.DEADLINE_EXCEEDED, at=101.25)
    assert account.missed_at == "backend"


def test_a_request_that_waited_for_its_model_until_time_was_up_was_lost_in_the_queue() -> None:
    times = answered()
    times.far = FarTimes(100.25, 100.25, 100.25, 100.25, 100.75, 100.75)
    account = account_for(head(times, target_at=100.9), Code.DEADLINE_EXCEEDED, at=101.25)
    assert account.missed_at == "model_queue"


def test_a_request_that_came_too_late_was_lost_on_its_way() -> None:
    account = account_for(head(answered(), target_at=100.1), Code.DEADLINE_EXCEEDED, at=101.25)
    assert account.missed_at == "uplink_transfer"


@pytest.mark.parametrize(("at", "stage"), [(100.5, ""), (101.9, ""), (101.996, "remote"), (102.1, "remote")])
def test_a_call_cancelled_at_its_grpc_deadline_missed_it(at: float, stage: str) -> None:
    times = CallTimes()
    times.received_at = times.sent_at = 100.0
    account = account_for(head(times, target_at=103.0, limit_at=102.0), Code.CANCELLED, at=at)
    assert account.missed_at == stage


def test_a_call_that_nobody_noted_is_told_all_the_same() -> None:
    refused = CallHead("/p.S/M", deadline=Deadline(101.0, 101.0), accepted_at=100.0)
    account = account_for(refused, Code.DEADLINE_EXCEEDED, at=100.5)
    assert account.missed_at == "receive"


class TestStreams:
    async def stream(self, *waits_s: float) -> tuple[Account, StreamedAnswer, CallHead]:
        """An answer whose messages come after these times; the request comes at 110.0, on a call of 100.0."""
        clock = ManualClock(now=110.0)
        times = answered()
        times.answered_at = times.answer_began_at = 110.25
        called = head(times)
        kept: list[StreamedAnswer] = []

        async def handler(call: IncomingCall) -> None:
            answer = StreamedAnswer(call, called, token_deadline_s=0.5, clock=clock)
            kept.append(answer)
            while await answer.receive() is not None:
                pass
            for wait_s in waits_s:
                clock.advance(wait_s)
                await answer.send(b"token")
            await answer.finish(CallStatus(Code.OK))

        await exchange(MemoryCarrier(handler), called, b"request")
        return account_for(called, Code.OK, at=clock.now(), answer=kept[0]), kept[0], called

    async def test_on_time_is_what_each_message_is(self) -> None:
        account, answer, called = await self.stream(0.9, 0.4, 0.5)
        assert account.missed_at == ""
        assert account.slack_s == pytest.approx(0.0)
        assert account.due_at == pytest.approx(111.0)
        # The stages are those of the first message.
        assert account.stages[-1][1] == pytest.approx(110.9)
        span = RecordedSpan()
        tell(span, called, account, answer)
        assert span.attributes["gen_ai.server.time_to_first_token"] == pytest.approx(10.9)
        assert span.attributes["headway.messages"] == 3
        assert "headway.messages.late" not in span.attributes
        assert "headway.deadline.missed_at" not in span.attributes

    async def test_a_late_first_message_is_late_in_one_of_its_stages(self) -> None:
        account, *_ = await self.stream(1.1, 0.4)
        assert account.missed_at == "delivery"
        assert account.slack_s == pytest.approx(-0.1)

    async def test_late_tokens_are_counted_and_told(self) -> None:
        account, answer, called = await self.stream(0.9, 0.75, 0.4, 0.6)
        assert account.missed_at == "token"
        assert account.slack_s == pytest.approx(-0.25)
        span = RecordedSpan()
        tell(span, called, account, answer)
        assert span.attributes["headway.deadline.missed_at"] == "token"
        assert span.attributes["headway.messages.late"] == 2
        assert span.attributes["headway.messages.late_indexes"] == "1, 3"
        assert span.attributes["headway.deadline.slack_ms"] == pytest.approx(-250.0)

    async def test_a_stream_that_ends_without_a_message_is_its_end(self) -> None:
        account, answer, called = await self.stream()
        assert account.due_at == pytest.approx(111.0)
        assert account.slack_s == pytest.approx(1.0)
        span = RecordedSpan()
        tell(span, called, account, answer)
        assert "headway.messages" not in span.attributes
