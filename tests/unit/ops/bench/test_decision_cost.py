from __future__ import annotations

from ops.bench.decision_cost import DecisionLoad, decision_times
from policies.simulation.workload_file import read_workload


async def test_decisions_are_timed_with_requests_under_way() -> None:
    load = DecisionLoad("greedy", read_workload("stable"), rate=60.0, seed=1)
    times = await decision_times(load, 60, warm_up=60)
    assert 0 < times.p50_s <= times.p99_s <= times.longest_s
    assert 0 < times.cpu_p50_s <= times.cpu_p99_s
    assert times.hold_s > 0


def test_a_policy_may_shed() -> None:
    load = DecisionLoad("greedy", read_workload("stable"), rate=2000.0, seed=1)
    for _ in range(400):
        load.decide()
    assert 0 < load.shed < 400
