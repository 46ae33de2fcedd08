"""One workload, one policy, one seed → one result."""

from __future__ import annotations

from policies.selection.base import Policy
from policies.selection.late_model import LateSettings
from policies.selection.late_policy import LATE, settings_of
from policies.simulation.results import Result, summarise
from policies.simulation.simulator import Simulation
from policies.simulation.trace import Trace
from policies.simulation.workload import Workload


def run(workload: Workload, policy: Policy, seed: int, *, trace: Trace | None = None) -> Result:
    """Take all requests of a seed through the policy; the same arguments give the same result.

    The policy is to be new, because it remembers. One that decides late has them wait, as the daemon does, but for
    token streams.
    """
    late = settings_of(policy)
    if late is not None and not workload.streaming:
        return run_late(workload, seed, settings=late, trace=trace)
    simulation = Simulation(workload, seed, trace=trace)
    advance, view, decide, choose = simulation.advance, simulation.view, simulation.decide, policy.choose
    while advance() is not None:
        request, candidates = view()
        decide(choose(request, candidates, now=simulation.now))
        simulation.ended.clear()
    return summarise(workload, policy.name, seed, simulation.trace, simulation.outcome)


def run_late(
    workload: Workload, seed: int, *, settings: LateSettings | None = None, trace: Trace | None = None
) -> Result:
    """The same with all requests decided late, which no policy is asked about; `policy` in the result is `late`.

    Raises ValueError for a workload of token streams.
    """
    simulation = Simulation(workload, seed, planned=settings or LateSettings(), trace=trace)
    simulation.advance()
    return summarise(workload, LATE, seed, simulation.trace, simulation.outcome)
