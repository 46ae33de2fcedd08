from __future__ import annotations

import pickle

from policies.evaluation.bounds import Bound
from policies.evaluation.contestant import Contestant
from policies.evaluation.jobs import BoundJob, Job, RunJob, cells, do, jobs_of
from policies.simulation.run import run
from tests.unit.policies.simulation.worlds import world

WORLD = world([n / 10 for n in range(6)])
GREEDY, THRESHOLDS = Contestant("greedy"), Contestant("thresholds", {"low": 1.0, "high": 2.0})


def test_every_contestant_runs_on_every_seed_and_the_bound_once_a_seed() -> None:
    jobs = jobs_of([(WORLD, [GREEDY, THRESHOLDS])], range(1, 4), bound=True)
    assert sum(isinstance(job, BoundJob) for job in jobs) == 3
    assert len(jobs) == 9
    assert [job.cost for job in jobs] == sorted((job.cost for job in jobs), reverse=True)
    assert len(jobs_of([(WORLD, [GREEDY])], range(1, 4), bound=False)) == 3


def test_a_job_gives_the_run_under_the_contestants_name() -> None:
    job = RunJob(WORLD, 3, THRESHOLDS, 1.0)
    again = pickle.loads(pickle.dumps(job))
    result = do(again)
    assert result == do(job)
    expected = run(WORLD, THRESHOLDS.make(), 3)
    assert not isinstance(result, Bound)
    assert (result.policy, result.score, result.mix) == ("thresholds", expected.score, expected.mix)


def test_cells_bring_results_and_bounds_together() -> None:
    jobs: list[Job] = [BoundJob(WORLD, 1, 1.0), RunJob(WORLD, 1, GREEDY, 1.0), RunJob(WORLD, 2, GREEDY, 1.0)]
    found = [do(job) for job in jobs]
    first, second = cells(jobs, found)
    assert first.bound == found[0]
    assert first.result == found[1]
    assert second.bound is None
