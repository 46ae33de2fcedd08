import itertools
from dataclasses import asdict

from ops.bench.congestion.probes import draw, kept
from ops.bench.congestion.scenario import parse_scenario
from ops.bench.network.requests import Outcome

PART = parse_scenario({"link": {"rate": "5mbit", "delay": "5ms"}, "realtime": {"requests": 50, "gap": 0.2}}).realtime


def test_both_phases_and_every_row_of_a_seed_have_the_same_requests() -> None:
    requests = draw(PART, seed=1)
    assert requests == draw(PART, seed=1) != draw(PART, seed=2)
    gaps = [later.arrival_s - earlier.arrival_s for earlier, later in itertools.pairwise(requests)]
    assert len(requests) == 50
    assert 0.1 <= min(gaps) < max(gaps) <= 0.3
    assert {(item.traffic_class, item.size_bytes) for item in requests} == {("realtime", 8192)}


def test_latencies_count_from_the_arrival_and_are_none_without_a_right_answer() -> None:
    outcomes = [
        Outcome(0, "realtime", 1.0, 1.25, None, 1.5, "OK"),
        Outcome(1, "realtime", 2.0, 2.0, None, 2.5, "UNAVAILABLE"),
    ]
    found = kept([asdict(outcome) for outcome in outcomes])
    assert found == {"latencies_s": [0.5, None], "statuses": {"OK": 1, "UNAVAILABLE": 1}, "behind_s": 0.25}
