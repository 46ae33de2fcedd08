from __future__ import annotations

import json

from ops.link.statistics import DirectionStatistics, LinkStatistics, Tally


def test_means_are_over_what_they_are_about() -> None:
    tally = Tally(packets=9, reached_queue=4, found_bytes=600, served=3, queueing_s=0.6, delivered=2, lateness_s=0.01)
    statistics = tally.statistics()
    assert statistics.queue_bytes_mean == 150.0
    assert round(statistics.queueing_s_mean, 9) == 0.2
    assert statistics.lateness_s_mean == 0.005


def test_of_nothing_the_means_are_zero() -> None:
    assert Tally().statistics() == DirectionStatistics()


def test_they_survive_json() -> None:
    statistics = LinkStatistics(1.5, DirectionStatistics(packets=3), DirectionStatistics(lost=2), float("inf"))
    assert LinkStatistics.from_json(json.loads(json.dumps(statistics.as_json()))) == statistics
