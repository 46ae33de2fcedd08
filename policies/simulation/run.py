"""One workload, one policy, one seed → one result."""

from __future__ import annotations

from policies.selection.base import Policy
from policies.simulation.held import LateBinding
from policies.simulation.results import Result, summarise
from policies.simulation.simulator import Simulation
from policies.simulation.trace import Trace
from policies.simulation.workload import Workload


def run(
    workload: Workload, policy: Policy, seed: int, *, late: LateBinding | None = None, trace: Trace | None = None
) -> Result:
    """Take all requests of a seed through the policy; the same arguments give the same result.

    The policy is to be new, because it remembers. `late` holds requests in the daemon until a candidate has room.
    """
    simulation = Simulation(workload, seed, late=late, trace=trace)
    advance, view, decide, choose = simulation.advance, simulation.view, simulation.decide, policy.choose
    while advance() is not None:
        request, candidates = view()
        decide(choose(request, candidates, now=simulation.now))
        simulation.ended.clear()
    return summarise(workload, policy.name, seed, simulation.trace, simulation.outcome)
