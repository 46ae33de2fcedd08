"""Routed `ModelInfer` calls that wait in the daemon, through the whole dispatcher: see `test_infer` for all others."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from policies.profile import Profile
from policies.traffic import TrafficClass
from proxy.daemon.load import LoadStatistics
from proxy.daemon.routes import DispatchSettings
from proxy.daemon.waiting_room import WaitingStatistics
from proxy.errors import Code
from proxy.tasks import spawn
from proxy.telemetry import names
from proxy.testing.calls import Answer, MemoryCarrier, exchange
from proxy.tunnel.exchange import CallTimes
from tests.unit.daemon.spans import RecordedTracing
from tests.unit.daemon.stub_triton import BROKEN, STREAM, StubModel, StubTriton, daemon, head, infer_request, settings

LARGE = Profile(((1, 30.0), (4, 40.0)))
"""Long: that time passes plays no part in these tests."""
SMALL = Profile(((1, 10.0), (4, 15.0)))
CLASSES: Mapping[str, TrafficClass] = {"strict": TrafficClass("strict", 0.02, on_miss="fail")}


def late(candidates: Mapping[str, str], *profiles: Profile | None, **more: object) -> DispatchSettings:
    made = settings(candidates, policy="late", tritons="ab"[: len(set(candidates.values()))], classes=CLASSES)
    (route,) = made.routes
    described = tuple(replace(one, profile=profile) for one, profile in zip(route.candidates, profiles, strict=True))
    return replace(made, routes=(replace(route, candidates=described, **more),))  # type: ignore[arg-type]


class Busy:
    """A daemon whose model has a request and answers nothing until the gate opens."""

    def __init__(self, *, tracing: RecordedTracing | None = None, **more: object) -> None:
        self.gate = asyncio.Event()
        self.a = StubTriton({"large": StubModel(gate=self.gate)})
        made = late({"large": "a"}, LARGE, **more)
        self.dispatcher = daemon(made, tracing=tracing, a=self.a) if tracing else daemon(made, a=self.a)
        self.carrier = MemoryCarrier(self.dispatcher)

    async def occupied(self) -> asyncio.Task[Answer]:
        """The call that occupies it."""
        call = self.ask("first")
        await asyncio.wait_for(self.a.carrier.opened.wait(), 1)
        return call

    def ask(self, text: str, **parameters: bool | int | str) -> asyncio.Task[Answer]:
        return spawn(exchange(self.carrier, head(), infer_request("llm", text, **parameters)), name=text)

    async def waiting(self, count: int) -> None:
        await until(lambda: self.dispatcher.waiting()["llm"].requests == count)


async def until(happened: Callable[[], bool]) -> None:
    """Let the others go on until something has happened."""
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


async def test_a_request_waits_in_the_daemon_until_the_model_has_room() -> None:
    busy = Busy()
    first = await busy.occupied()
    second = busy.ask("second")
    await busy.waiting(1)
    assert len(busy.a.seen) == 1
    message = infer_request("llm", "second")
    assert busy.dispatcher.waiting() == {"llm": WaitingStatistics(1, len(message))}
    busy.gate.set()
    answer = await second
    assert (await first).status.code == answer.status.code == Code.OK
    assert answer.trailer("x-headway-policy") == "late"
    assert answer.trailer("x-headway-model") == "large"
    assert busy.dispatcher.waiting() == {"llm": WaitingStatistics()}
    assert busy.dispatcher.statistics() == {("a", "large"): LoadStatistics(finished=2)}


async def test_the_wait_is_the_daemon_s_queue_and_the_trace_says_what_was_seen() -> None:
    tracing = RecordedTracing()
    busy = Busy(tracing=tracing)
    await busy.occupied()
    times = CallTimes()
    called = head()._replace(times=times)
    second = spawn(exchange(busy.carrier, called, infer_request("llm")), name="second")
    await busy.waiting(1)
    assert times.asked_at == 0.0
    busy.gate.set()
    await second
    assert 0.0 < times.asked_at <= times.decided_at <= times.sent_at <= times.answered_at
    span = tracing.spans[-1]
    attributes = span.event_attributes[span.events.index(names.DECISION)]
    assert attributes[names.DECISION_HELD] == 1
    assert attributes[names.DECISION_REASON] == "planned"
    assert attributes[names.DECISION_CANDIDATES] == "large@a"
    assert attributes[names.DECISION_CHOICE] == "large"


async def test_what_no_model_answers_in_time_is_shed_as_by_any_policy() -> None:
    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(late({"large": "a"}, LARGE), a=a)
    answer = await exchange(MemoryCarrier(dispatcher), head(target_s=5), infer_request("llm"))
    assert answer.status.code == Code.RESOURCE_EXHAUSTED
    assert answer.status.message == "policy late sheds this request for 'llm': no candidate would answer in time"
    assert answer.trailer("x-headway-dropped-reason") == "rejected-saturated"
    assert a.seen == []


async def test_one_that_fails_unavailable_is_planned_again_for_another_candidate() -> None:
    a, b = StubTriton({"large": StubModel(status=BROKEN)}), StubTriton({"small": StubModel()})
    dispatcher = daemon(late({"large": "a", "small": "b"}, LARGE, SMALL), a=a, b=b)
    answer = await exchange(MemoryCarrier(dispatcher), head(target_s=100), infer_request("llm"))
    assert answer.trailer("x-headway-model") == "small"
    assert (len(a.seen), len(b.seen)) == (1, 1)


async def test_one_that_no_other_candidate_can_answer_in_time_keeps_its_failure() -> None:
    a, b = StubTriton({"large": StubModel(status=BROKEN)}), StubTriton({"small": StubModel()})
    dispatcher = daemon(late({"large": "a", "small": "b"}, SMALL, LARGE), a=a, b=b)
    answer = await exchange(MemoryCarrier(dispatcher), head(target_s=20), infer_request("llm"))
    assert (answer.status.code, answer.status.message) == (BROKEN.code, BROKEN.message)


async def test_with_every_candidate_away_the_call_is_told_at_once() -> None:
    a = StubTriton({}, down=True)
    carrier = MemoryCarrier(daemon(late({"large": "a"}, LARGE), a=a))
    for _ in range(2):
        answer = await exchange(carrier, head(target_s=100), infer_request("llm"))
        assert answer.status.code == Code.UNAVAILABLE
        assert answer.status.message == "triton is unreachable: connection refused"


async def test_what_waits_when_the_policy_changes_is_decided_by_the_new_one() -> None:
    gate = asyncio.Event()
    a, b = StubTriton({"large": StubModel(gate=gate)}), StubTriton({"small": StubModel(gate=gate)})
    dispatcher = daemon(late({"large": "a", "small": "b"}, LARGE, SMALL), a=a, b=b)
    carrier = MemoryCarrier(dispatcher)
    asked = [spawn(exchange(carrier, head(target_s=100), infer_request("llm")), name="call") for _ in range(5)]
    await until(lambda: dispatcher.waiting()["llm"].requests == 4)
    dispatcher.use_policy("llm", "static:small")
    assert dispatcher.waiting() == {"llm": WaitingStatistics()}
    gate.set()
    answers = await asyncio.gather(*asked)
    assert Counter(answer.trailer("x-headway-model") for answer in answers) == {"large": 1, "small": 4}
    assert {answer.trailer("x-headway-policy") for answer in answers} == {"static:small"}


async def test_a_policy_that_decides_late_takes_over_from_another_with_what_is_under_way() -> None:
    busy = Busy()
    busy.dispatcher.use_policy("llm", "round_robin")
    await busy.occupied()
    busy.dispatcher.use_policy("llm", "late")
    second = busy.ask("second")
    await busy.waiting(1)
    busy.dispatcher.use_policy("llm", "late")  # a new planner; it waits on
    await busy.waiting(1)
    busy.gate.set()
    assert (await second).status.code == Code.OK


async def test_a_sequence_does_not_wait() -> None:
    busy = Busy()
    await busy.occupied()
    call = busy.ask("second", sequence_id=7, sequence_start=True)
    await until(lambda: len(busy.a.seen) == 2)
    busy.gate.set()
    assert (await call).status.code == Code.OK


async def test_a_stream_does_not_wait() -> None:
    busy = Busy()
    await busy.occupied()
    call = spawn(exchange(busy.carrier, head(STREAM), infer_request("llm")), name="stream")
    await until(lambda: len(busy.a.seen) == 2)
    busy.gate.set()
    assert (await call).status.code == Code.OK


async def test_one_whose_caller_leaves_or_whose_time_is_up_waits_no_more() -> None:
    busy = Busy()
    await busy.occupied()
    gone = MemoryCarrier(busy.dispatcher).open(head())
    await gone.send(infer_request("llm"), last=True)
    await busy.waiting(1)
    gone.cancel()
    await busy.waiting(0)
    limited = await exchange(busy.carrier, head(limit_s=60.02)._replace(traffic_class=""), infer_request("other"))
    assert limited.status.code == Code.NOT_FOUND
    strict = await exchange(busy.carrier, head(target_s=0.02, limit_s=60, traffic_class="strict"), infer_request("llm"))
    assert strict.status.code in {Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED}
    assert busy.dispatcher.waiting() == {"llm": WaitingStatistics()}
    busy.gate.set()


async def test_past_the_bound_on_what_waits_a_request_is_refused() -> None:
    busy = Busy(waiting_bytes=100)
    await busy.occupied()
    second = busy.ask("second" * 20)
    await busy.waiting(1)
    answer = await busy.ask("third")
    assert answer.status.code == Code.RESOURCE_EXHAUSTED
    size = len(infer_request("llm", "second" * 20))
    what = f"route 'llm' has no room for another request to wait: {size} bytes wait already, and 100 may"
    assert answer.status.message == what
    assert answer.trailer("x-headway-dropped-reason") == "rejected-saturated"
    busy.gate.set()
    assert (await second).status.code == Code.OK


async def test_without_a_profile_of_every_candidate_greedy_decides_at_once(caplog: pytest.LogCaptureFixture) -> None:
    a = StubTriton({"large": StubModel(), "small": StubModel()})
    with caplog.at_level(logging.WARNING):
        dispatcher = daemon(late({"large": "a", "small": "a"}, LARGE, None), a=a)
    what = "Policy late of route llm decides as greedy does when requests come: small on a has no profile"
    assert what in caplog.text
    answer = await exchange(MemoryCarrier(dispatcher), head(target_s=100), infer_request("llm"))
    assert answer.status.code == Code.OK
    assert answer.trailer("x-headway-policy") == "late"


async def test_a_draining_daemon_serves_what_waits() -> None:
    busy = Busy()
    await busy.occupied()
    second = busy.ask("second")
    await busy.waiting(1)
    busy.dispatcher.drain()
    refused = await busy.ask("third")
    assert refused.trailer("x-headway-dropped-reason") == "rejected-shutting-down"
    busy.gate.set()
    assert (await second).status.code == Code.OK
    assert await busy.dispatcher.wait_idle(1)


async def test_every_request_counts_once_in_the_rate_of_arrivals_however_it_is_decided() -> None:
    a, b = StubTriton({"large": StubModel(status=BROKEN)}), StubTriton({"small": StubModel()})
    tracing = RecordedTracing()
    dispatcher = daemon(late({"large": "a", "small": "b"}, LARGE, SMALL), tracing=tracing, a=a, b=b)
    await exchange(MemoryCarrier(dispatcher), head(target_s=100), infer_request("llm"))
    (span,) = tracing.spans
    mixes = [
        attributes[names.DECISION_FAST_RATE]
        for event, attributes in zip(span.events, span.event_attributes, strict=True)
        if event == names.DECISION
    ]
    assert len(mixes) == 2
    assert mixes[1] <= mixes[0]  # type: ignore[operator]
