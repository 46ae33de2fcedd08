from __future__ import annotations

from collections.abc import Mapping

import pytest

from policies.profile_file import Point
from proxy.profiling.model import Model, ProfilingError, Queued
from proxy.profiling.payload import Payload, Wishes
from proxy.profiling.sweep import Limits, measure
from proxy.profiling.unary import settings
from proxy.testing.virtual_loop import VirtualTimeLoop
from tests.unit.profiling.model_in_memory import TEXT, FailingModel, ModelInMemory, in_virtual_time


def measured(model: Model, server: ModelInMemory, sizes: tuple[int, ...] = ()) -> Mapping[tuple[str, int], Point]:
    async def work(loop: VirtualTimeLoop) -> list[Point]:
        payload = Payload(model, Wishes(sizes=sizes))
        found = settings(model, payload, server, loop.clock)
        return await measure(found, Limits(), clock=loop.clock, progress=lambda kind, at: None)

    return {(point.kind, point.at): point for point in in_virtual_time(work)}


def test_batches_and_payloads_without_the_time_in_the_queue() -> None:
    server = ModelInMemory(lambda rows, size, _: 0.01 * rows + 0.001 * size, queue_s=0.5)
    points = measured(Model("m", (TEXT,), max_rows=6, batched=True), server, (10, 20, 90))
    assert {key: pytest.approx(point.median_s) for key, point in points.items()} == {
        ("batch", 1): 0.03,  # the payload in the middle, 20 bytes
        ("batch", 2): 0.04,
        ("batch", 4): 0.06,
        ("batch", 6): 0.08,
        ("size", 10): 0.02,
        ("size", 20): 0.03,
        ("size", 90): 0.1,
    }


def test_a_model_without_a_batch_dimension_has_a_batch_of_one() -> None:
    assert list(measured(Model("m", ()), ModelInMemory(lambda rows, size, _: 0.01))) == [("batch", 1)]


def test_instances_are_measured_side_by_side_with_full_batches() -> None:
    server = ModelInMemory(lambda rows, _, under_way: 0.01 * rows * under_way)
    points = measured(Model("m", (TEXT,), max_rows=4, batched=True, instances=3), server)
    assert [at for kind, at in points if kind == "callers"] == [2, 3]
    assert points["batch", 4].median_s == pytest.approx(0.04)
    # The first of each three meets no other, the last two.
    assert points["callers", 3].median_s == pytest.approx(0.08)


def test_statistics_that_lag_do_not_make_a_time_negative() -> None:
    class Ahead(ModelInMemory):
        async def queued(self) -> object:  # type: ignore[override]
            counted = await super().queued()
            return counted._replace(seconds=counted.seconds + 5.0 * counted.requests)

    points = measured(Model("m", (TEXT,)), Ahead(lambda rows, size, _: 0.01))
    assert points["batch", 1].median_s > 0


class Shared(ModelInMemory):
    """The first looks at its statistics find, each time, one more request of somebody else, which waited for 9 s."""

    others = 0

    async def queued(self) -> Queued:
        counted = await super().queued()
        if self.others:
            self.others -= 1
            self.foreign += 1
        return Queued(counted.requests + self.foreign, counted.seconds + 9.0 * self.foreign)

    foreign = 0


def test_a_block_that_met_others_requests_is_measured_again() -> None:
    server = Shared(lambda rows, size, _: 0.01)
    server.others = 3
    points = measured(Model("m", (TEXT,)), server)
    assert points["batch", 1].median_s == pytest.approx(0.01)


def test_a_model_that_others_use_all_the_time_is_refused() -> None:
    server = Shared(lambda rows, size, _: 0.01)
    server.others = 1000
    with pytest.raises(ProfilingError, match=r"used by others, too: 1 requests came beside 5 of ours"):
        measured(Model("m", (TEXT,)), server)


def test_an_error_of_the_model_ends_it() -> None:
    with pytest.raises(ProfilingError, match="out of memory"):
        measured(Model("m", (TEXT,)), FailingModel(lambda rows, size, _: 0.01))


class Hesitating(ModelInMemory):
    """Of the first so many requests, each fifth waits for 0.4 s."""

    hesitates = 0

    async def infer(self, request: bytes) -> None:
        late = len(self.requests) < self.hesitates and len(self.requests) % 5 == 2
        self._queue_s = 0.4 if late else 0.0
        await super().infer(request)


def test_a_block_in_which_one_request_waited_for_long_is_measured_again() -> None:
    server = Hesitating(lambda rows, size, _: 0.01)
    server.hesitates = 10
    assert measured(Model("m", (TEXT,)), server)["batch", 1].deviation_s == pytest.approx(0.0, abs=1e-9)
