"""What routed requests add to the metrics, through the whole dispatcher."""

from __future__ import annotations

import asyncio

import pytest

from policies.traffic import TrafficClass
from proxy.clock import MonotonicClock
from proxy.daemon.dispatch import Dispatcher
from proxy.errors import Code
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.testing.calls import MemoryCarrier, exchange
from proxy.tunnel.exchange import CallStatus
from tests.unit.daemon.stub_triton import INFER, STREAM, StubModel, StubTriton, head, infer_request, settings
from tests.unit.telemetry.pages import Values, nonzero

BUSY = CallStatus(Code.UNAVAILABLE, "Exceeds maximum queue size")
LARGE: Values = {("realtime", "llm", "large", "a"): 1}
BOTH: Values = {**LARGE, ("realtime", "llm", "small", "a"): 1}
NOTHING: Values = {}


def of_route(value: float) -> Values:
    return {("realtime", "llm"): value}


class Site:
    """One Triton with a large model, quality 0.9, and a small one, 0.8."""

    def __init__(self, *, large: StubModel | None = None, small: StubModel | None = None) -> None:
        self.triton = StubTriton({"large": large or StubModel(), "small": small or StubModel()})
        self.metrics = RouteMetrics(["realtime"])
        traffic_class = TrafficClass("realtime", 1.0)
        configured = settings({"large": "a", "small": "a"}, tritons="a", classes={"realtime": traffic_class})
        self.carrier = MemoryCarrier(
            Dispatcher(configured, {"a": self.triton.carrier}, clock=MonotonicClock(), requests=self.metrics)
        )

    @property
    def selected(self) -> Values:
        return nonzero(self.metrics.families(), "headway_model_selected_total")

    @property
    def accuracy(self) -> tuple[Values, Values]:
        families = self.metrics.families
        return (
            nonzero(families(), "headway_effective_accuracy_count"),
            nonzero(families(), "headway_effective_accuracy_sum"),
        )


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_an_answer_in_time_is_worth_its_models_quality(path: str) -> None:
    site = Site()
    await exchange(site.carrier, head(path, traffic_class="realtime", target_s=60.0), infer_request("llm"))
    assert site.selected == LARGE
    assert site.accuracy == (of_route(1), of_route(0.9))
    assert nonzero(site.metrics.families(), "headway_policy_decision_seconds_count") == {("llm", "round_robin"): 1}


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_a_late_answer_is_worth_nothing(path: str) -> None:
    site = Site()
    await exchange(site.carrier, head(path, traffic_class="realtime", target_s=0.0), infer_request("llm"))
    assert site.accuracy == (of_route(1), NOTHING)


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_a_repeated_request_is_sent_twice_and_ends_once(path: str) -> None:
    large = StubModel(die_after=0) if path == STREAM else StubModel(status=BUSY)
    site = Site(large=large)
    await exchange(site.carrier, head(path, traffic_class="realtime", target_s=60.0), infer_request("llm"))
    assert site.selected == BOTH
    assert site.accuracy == (of_route(1), of_route(0.8))


async def test_a_failed_request_is_worth_nothing() -> None:
    site = Site(large=StubModel(status=CallStatus(Code.INVALID_ARGUMENT)))
    await exchange(site.carrier, head(traffic_class="realtime", target_s=60.0), infer_request("llm"))
    assert site.accuracy == (of_route(1), NOTHING)


async def test_a_stream_that_breaks_off_counts_each_request_once() -> None:
    site = Site(large=StubModel(tokens=3, die_after=1), small=StubModel(error="no"))
    requests = [infer_request("llm", id=str(number)) for number in range(2)]
    await exchange(site.carrier, head(STREAM, traffic_class="realtime", target_s=60.0), *requests)
    counts, _ = site.accuracy
    assert counts == of_route(2)


@pytest.mark.parametrize("path", [INFER, STREAM])
@pytest.mark.parametrize(("target_s", "counts"), [(60.0, NOTHING), (0.0, of_route(1))])
async def test_a_caller_that_leaves_in_time_tells_nothing(path: str, target_s: float, counts: Values) -> None:
    site = Site(large=StubModel(gate=asyncio.Event()))
    call = site.carrier.open(head(path, traffic_class="realtime", target_s=target_s))
    await call.send(infer_request("llm"), last=True)
    async with asyncio.timeout(1):
        while not site.triton.seen:  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)
        call.cancel()
        while not site.triton.cancelled:  # noqa: ASYNC110 -- likewise
            await asyncio.sleep(0)
    assert site.accuracy == (counts, NOTHING)
