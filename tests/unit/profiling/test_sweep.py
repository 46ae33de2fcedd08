from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from policies.profile_file import Point
from proxy.profiling.model import ProfilingError
from proxy.profiling.sweep import FEWEST_SAMPLES, MOST_SAMPLES, Limits, Setting, measure
from proxy.testing.virtual_loop import VirtualTimeLoop
from tests.unit.profiling.model_in_memory import in_virtual_time


class Blocks:
    """Each takes a second and gives the next of the samples, round and round."""

    def __init__(self, name: str, samples: Sequence[float], log: list[str], *, seconds: float = 1.0) -> None:
        self._name = name
        self._samples = samples
        self._log = log
        self._seconds = seconds
        self._given = 0

    async def __call__(self) -> Mapping[str, Sequence[float]]:
        await asyncio.sleep(self._seconds)
        self._log.append(self._name)
        self._given += 1
        return {"batch": [self._samples[self._given % len(self._samples)]], "callers": [1.0]}


def run(settings: Sequence[Setting], limits: Limits) -> list[Point]:
    async def work(loop: VirtualTimeLoop) -> list[Point]:
        return await measure(settings, limits, clock=loop.clock, progress=lambda kind, at: None)

    return in_virtual_time(work)


def test_settings_take_turns_after_a_warm_up_of_each() -> None:
    log: list[str] = []
    settings = [Setting("batch", 1, Blocks("a", [1, 9], log)), Setting("batch", 2, Blocks("b", [1, 9], log))]
    points = run(settings, Limits(point_s=6.0, warm_up=2))
    assert "".join(log) == "aabb" + "ab" * 6
    assert [(point.kind, point.at, point.samples) for point in points] == [
        ("batch", 1, 6),
        ("callers", 1, 6),
        ("batch", 2, 6),
        ("callers", 2, 6),
    ]


def test_a_setting_ends_when_it_is_known() -> None:
    [point, _] = run([Setting("batch", 1, Blocks("a", [2.0], []))], Limits(point_s=1000.0))
    assert (point.median_s, point.samples) == (2.0, 10)


def test_a_slow_one_is_measured_a_few_times_however_little_time_there_is() -> None:
    [point, _] = run([Setting("batch", 1, Blocks("a", [1, 9], [], seconds=60.0))], Limits(point_s=0.1))
    assert point.samples == FEWEST_SAMPLES


def test_one_that_is_never_known_ends_at_a_number_of_samples() -> None:
    noisy = [Setting("batch", 1, Blocks("a", [1, 9], [], seconds=0.001))]
    assert run(noisy, Limits(point_s=1000.0))[0].samples == MOST_SAMPLES


def test_what_a_block_raises_ends_it() -> None:
    async def block() -> Mapping[str, Sequence[float]]:
        raise ProfilingError("m: out of memory")

    with pytest.raises(ProfilingError, match="out of memory"):
        run([Setting("batch", 1, block)], Limits())
