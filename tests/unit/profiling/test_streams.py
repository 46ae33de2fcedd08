from __future__ import annotations

from collections.abc import Mapping

import pytest

from policies.profile_file import Point
from proxy.profiling.model import Model, ProfilingError
from proxy.profiling.payload import Payload, Wishes
from proxy.profiling.streams import at_once, gaps, measure_streams
from proxy.profiling.sweep import Limits
from proxy.testing.virtual_loop import VirtualTimeLoop
from tests.unit.profiling.model_in_memory import TEXT, ModelInMemory, in_virtual_time

MODEL = Model("m", (TEXT,), max_rows=1, decoupled=True)


def measured(server: ModelInMemory, *, most: int, sizes: tuple[int, ...] = ()) -> Mapping[tuple[str, int], Point]:
    async def work(loop: VirtualTimeLoop) -> list[Point]:
        return await measure_streams(
            MODEL,
            Payload(MODEL, Wishes(sizes=sizes)),
            server,
            Limits(),
            most=most,
            clock=loop.clock,
            progress=lambda kind, at: None,
        )

    return {(point.kind, point.at): point for point in in_virtual_time(work)}


def test_first_messages_by_prompt_and_next_ones_by_streams() -> None:
    server = ModelInMemory(lambda _, size, under_way: 0.01 + 0.001 * size + 0.002 * under_way)
    points = measured(server, most=4, sizes=(10, 50))
    assert points["first_token", 10].median_s == pytest.approx(0.012 + 0.012 + 0.010)
    assert points["first_token", 50].median_s == pytest.approx(0.012 + 0.012 + 0.050)
    steps = {at: point.median_s for (kind, at), point in points.items() if kind == "next_token"}
    assert steps == {1: pytest.approx(0.012), 2: pytest.approx(0.014), 4: pytest.approx(0.018)}
    assert points["batch", 1].median_s == pytest.approx(0.012 + 0.050 + 8 * 0.012)


def test_it_ends_where_streams_wait_for_others() -> None:
    server = ModelInMemory(lambda _, size, under_way: 0.01, places=6)
    assert [at for kind, at in measured(server, most=32) if kind == "next_token"] == [1, 2, 4, 6]
    server = ModelInMemory(lambda _, size, under_way: 0.01, places=4)
    assert [at for kind, at in measured(server, most=32) if kind == "next_token"] == [1, 2, 4]


def test_a_short_answer_says_what_to_do() -> None:
    with pytest.raises(ProfilingError, match=r"m streams, and answered with 2 messages; .*--value MAX_TOKENS:32"):
        measured(ModelInMemory(lambda _, size, under_way: 0.01, messages=2), most=2)


def test_streams_at_once() -> None:
    assert at_once([[0.1, 0.5], [0.2, 0.6]]) == 2
    assert at_once([[0.1, 0.5], [0.5, 0.6]]) == 1
    assert at_once([[0.1, 0.5], [0.2, 0.3], [0.4, 0.9]]) == 2


def test_gaps_count_while_all_streams_run() -> None:
    # The first alone writes quickly; together, a message takes 0.2 s.
    assert gaps([[0.1, 0.2, 0.3, 0.5, 0.7], [0.3, 0.5, 0.7, 0.8]]) == [pytest.approx(0.2), pytest.approx(0.2)]
    assert gaps([[0.1, 0.2], [0.3, 0.4]]) == []
    assert gaps([[0.1, 0.1, 0.1, 0.3]]) == [pytest.approx(0.2 / 3)]
