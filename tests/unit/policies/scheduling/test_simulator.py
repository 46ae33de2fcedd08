from __future__ import annotations

import math

import pytest

from policies.scheduling.base import PathEstimate, StreamOrder
from policies.scheduling.edf import EarliestDeadlineFirst
from policies.scheduling.fcfs import FirstComeFirstServed
from policies.scheduling.simulator import Finish, Job, simulate, weighted_on_time


class Recorder(FirstComeFirstServed):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[tuple[float, PathEstimate]] = []
        self.sizes: list[tuple[float, int]] = []
        self.orders: list[StreamOrder] = []

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        self.paths.append((now, path))

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        self.sizes.append((now, unsent_bytes))
        self.orders.append(order)
        super().add(order, unsent_bytes=unsent_bytes, now=now)


def test_a_job_takes_its_bytes_at_the_rate_and_the_delay() -> None:
    finish = simulate(FirstComeFirstServed(), [Job(5.0, 3000)], rate=1000.0, delay_s=0.25)
    assert finish == [Finish(Job(5.0, 3000), 8.25)]


def test_jobs_wait_for_those_before_them_and_the_link_for_jobs() -> None:
    jobs = [Job(0.0, 1200), Job(0.5, 600), Job(10.0, 600)]
    finishes = simulate(FirstComeFirstServed(), jobs, rate=1200.0)
    assert [finish.finished_at for finish in finishes] == [1.0, 1.5, 10.5]


def test_results_come_in_the_order_of_the_jobs() -> None:
    jobs = [Job(3.0, 1200), Job(0.0, 1200)]
    finishes = simulate(FirstComeFirstServed(), jobs, rate=1200.0)
    assert [finish.job for finish in finishes] == jobs
    assert [finish.finished_at for finish in finishes] == [4.0, 1.0]


def test_the_more_urgent_one_overtakes_at_the_next_packet() -> None:
    jobs = [Job(0.0, 12_000, deadline=100.0), Job(0.5, 1200, deadline=5.0)]
    finishes = simulate(EarliestDeadlineFirst(), jobs, rate=1200.0)
    assert [finish.finished_at for finish in finishes] == [11.0, 2.0]


def test_a_rate_that_changes() -> None:
    finishes = simulate(
        FirstComeFirstServed(), [Job(0.0, 4800)], rate=lambda now: 1200.0 if now < 2.0 else 600.0, delay_s=0.0
    )
    assert finishes[0].finished_at == 6.0


def test_the_scheduler_hears_the_truth_unless_it_is_told_otherwise() -> None:
    recorder = Recorder()
    simulate(recorder, [Job(0.0, 2400)], rate=1200.0, delay_s=0.05)
    assert recorder.paths == [(0.0, PathEstimate(1200.0, 0.1, 0.05)), (1.0, PathEstimate(1200.0, 0.1, 0.05))]
    wrong = PathEstimate(900.0, 0.2, 0.3)
    recorder = Recorder()
    simulate(recorder, [Job(0.0, 1200)], rate=1200.0, estimate=wrong)
    assert recorder.paths == [(0.0, wrong)]
    recorder = Recorder()
    simulate(recorder, [Job(0.0, 2400)], rate=1200.0, estimate=PathEstimate)
    assert recorder.paths == [(0.0, PathEstimate(0.0)), (1.0, PathEstimate(1.0))]


def test_the_scheduler_hears_of_all_that_a_job_is() -> None:
    recorder = Recorder()
    simulate(recorder, [Job(1.0, 100), Job(2.0, 100, 7.0, 3.0, 1, "high")], rate=1000.0)
    assert recorder.orders == [StreamOrder(0, 1.0), StreamOrder(4, 2.0, 7.0, 1, "high", 3.0)]


def test_a_job_in_pieces_is_written_as_it_is_sent() -> None:
    recorder = Recorder()
    finishes = simulate(recorder, [Job(0.0, 9600, piece_bytes=4800)], rate=1200.0)
    assert recorder.sizes == [(0.0, 4800), (1.0, 7200)]
    assert finishes[0].finished_at == 8.0


def test_a_job_in_small_pieces_arrives_whole() -> None:
    finishes = simulate(FirstComeFirstServed(), [Job(0.0, 1000, piece_bytes=1)], rate=1000.0)
    assert finishes[0].finished_at == pytest.approx(1.0)


def test_on_time_is_up_to_the_deadline() -> None:
    job = Job(0.0, 1000, deadline=1.0)
    assert Finish(job, 1.0).on_time
    assert not Finish(job, 1.001).on_time
    assert Finish(Job(0.0, 1000), 1e9).on_time


def test_the_share_on_time_counts_weights() -> None:
    finishes = [
        Finish(Job(0.0, 1, deadline=1.0, weight=3.0), 0.5),
        Finish(Job(0.0, 1, deadline=1.0, weight=1.0), 1.5),
    ]
    assert weighted_on_time(finishes) == 0.75
    assert weighted_on_time([]) == 1.0


def test_no_jobs_no_work() -> None:
    assert simulate(FirstComeFirstServed(), [], rate=math.inf) == []
