from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.scheduler_cost import ConnectionPair, long_streams_s, order, short_streams_s
from policies.scheduling.registry import make_scheduler


@pytest.mark.parametrize("name", ["rr", "edf"])
def test_a_scheduler_alone_takes_time(name: str) -> None:
    assert 0 < long_streams_s(name, 3, 200) < 0.01
    assert 0 < short_streams_s(name, 3, 200) < 0.01


def test_orders_differ_in_all_that_disciplines_look_at() -> None:
    orders = [order(index) for index in range(12)]
    assert len({item.stream_id for item in orders}) == len({item.deadline for item in orders}) == 12
    assert {item.level for item in orders} == {"high", "low"}
    assert len({item.priority for item in orders}) == len({item.weight for item in orders}) == 3


def test_a_pair_of_connections_with_idle_and_with_ready_streams(tmp_path: Path) -> None:
    pair = ConnectionPair(tmp_path, 3)
    idle_s = pair.idle_streams_s(make_scheduler("edf"), 60)
    ready_s = pair.ready_streams_s(make_scheduler("rr"), 60)
    assert 0 < idle_s < 0.1
    assert 0 < ready_s < 0.1
