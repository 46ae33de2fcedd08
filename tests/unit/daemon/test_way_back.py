from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from proxy.daemon.way_back import AnswerLengths, TunnelPath, WaysBack


def test_half_a_round_trip_and_the_answer_at_the_rate_of_the_path() -> None:
    ways = WaysBack(lambda: {"p:1": TunnelPath(0.1, 1e6), "p:2": TunnelPath(0.2)})
    assert ways.expected_s("p:1", 100_000, now=0.0) == pytest.approx(0.05 + 0.1)
    assert ways.expected_s("p:2", 100_000, now=0.0) == pytest.approx(0.1)
    assert repr(ways) == "<WaysBack 2 paths>"


def test_a_way_has_its_share_of_the_round_trip_s_deviation() -> None:
    ways = WaysBack(lambda: {"p:1": TunnelPath(0.1, rtt_deviation_s=0.02)})
    assert ways.deviation_s("p:1", now=0.0) == pytest.approx(0.02 / math.sqrt(2))
    assert (ways.deviation_s("p:3", now=0.0), ways.deviation_s("", now=0.0)) == (0.0, 0.0)


def test_what_is_not_known_counts_as_nothing() -> None:
    ways = WaysBack(lambda: {"p:1": TunnelPath(0.1, 0.0)})
    assert ways.expected_s("p:3", 1000, now=0.0) == 0.0
    assert ways.expected_s("", 1000, now=0.0) == 0.0
    assert ways.expected_s("p:1", 1000, now=0.0) == 0.05
    assert WaysBack().expected_s("p:1", 1000, now=0.0) == 0.0


def test_paths_are_asked_for_ten_times_a_second_at_most() -> None:
    asked: list[float] = []

    def read() -> Mapping[str, TunnelPath]:
        asked.append(0.1)
        return {"p:1": TunnelPath(2.0 * len(asked), math.inf)}

    ways = WaysBack(read)
    seen = [ways.expected_s("p:1", 1000, now=now) for now in (5.0, 5.05, 5.099, 5.11, 9.0)]
    assert seen == [1.0, 1.0, 1.0, 2.0, 3.0]


def test_lengths_are_a_recent_mean_for_each_class() -> None:
    lengths = AnswerLengths()
    assert lengths.expected_bytes("bulk") == 0.0
    lengths.answered("bulk", 1000)
    lengths.answered("bulk", 2000)
    lengths.answered("realtime", 10)
    assert lengths.expected_bytes("bulk") == pytest.approx(1200)
    assert repr(lengths) == "<AnswerLengths bulk=1200 realtime=10>"
