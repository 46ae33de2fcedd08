import json
from pathlib import Path

from ops.bench.network.recorded import Recording, Tally, key_of, record, series
from ops.bench.network.scenario import RequestClass
from policies.scheduling.base import PathEstimate, Scheduler, StreamOrder
from policies.scheduling.fcfs import FirstComeFirstServed

URGENT = RequestClass("urgent", 10, 1.0, 2.0, 0, "high", 1.0)
BULK = RequestClass("bulk", 100, 5.0, 1.0, 1, "low", 1.0)


def order(stream_id: int, kind: RequestClass) -> StreamOrder:
    return StreamOrder(stream_id, 0.0, priority=kind.priority, level=kind.level, weight=kind.weight)


def recording() -> tuple[Recording, Tally]:
    tally = Tally()
    return Recording(FirstComeFirstServed(), tally), tally


def test_bytes_count_for_their_class_when_they_leave() -> None:
    scheduler, tally = recording()
    scheduler.add(order(0, BULK), unsent_bytes=2500, now=7.0)
    scheduler.add(order(4, URGENT), unsent_bytes=300, now=7.0)
    assert scheduler.next(now=7.01) == 0
    scheduler.served(0, sent_bytes=1200, now=7.01)
    scheduler.served(0, sent_bytes=1200, now=7.12)
    assert scheduler.next(now=7.31) == 0
    scheduler.remove(0)  # the rest went into a packet
    assert scheduler.next(now=7.32) == 4
    assert len(scheduler) == 1
    assert tally.bins == {"1/low/1": {70: 1200, 71: 1200, 73: 100}}
    scheduler.remove(4)
    assert tally.bins["0/high/2"] == {73: 300}


def test_bytes_that_are_sent_again_count_again() -> None:
    scheduler, tally = recording()
    scheduler.add(order(0, BULK), unsent_bytes=100, now=0.0)
    scheduler.next(now=0.0)
    scheduler.remove(0)
    scheduler.add(order(0, BULK), unsent_bytes=60, now=0.2)
    scheduler.next(now=0.2)
    scheduler.remove(0)
    scheduler.remove(0)
    assert tally.bins == {"1/low/1": {0: 100, 2: 60}}


def test_everything_else_is_the_scheduler_s() -> None:
    scheduler, _ = recording()
    scheduler.on_path(PathEstimate(), now=0.0)
    assert scheduler.name == "fcfs"
    assert scheduler.log_data(now=0.0) == FirstComeFirstServed().log_data(now=0.0)
    assert repr(scheduler) == f"<Recording {FirstComeFirstServed()!r}>"


def test_a_registry_s_schedulers_all_tell_one_tally(tmp_path: Path) -> None:
    def make() -> Scheduler:
        return FirstComeFirstServed()

    registry = {"fcfs": make}
    tally = record(registry)
    for stream_id in (0, 4):
        scheduler = registry["fcfs"]()
        scheduler.add(order(stream_id, BULK), unsent_bytes=10, now=0.0)
        scheduler.next(now=0.0)
        scheduler.remove(stream_id)
    tally.write(tmp_path / "recording")
    assert json.loads((tmp_path / "recording").read_text()) == {"1/low/1": {"0": 20}}


def test_series_begin_with_the_cell_and_have_every_class() -> None:
    bins = {key_of(BULK): {"69": 1, "70": 2, "73": 3}}
    assert series(bins, [URGENT, BULK], began_at=7.05) == {"urgent": [0, 0, 0, 0], "bulk": [2, 0, 0, 3]}
    assert series({}, [BULK], began_at=7.05) == {"bulk": [0]}


def test_classes_that_a_scheduler_cannot_tell_apart_are_one() -> None:
    twin = RequestClass("twin", 7, 9.0, 1.0, 1, "low", 1.0)
    assert series({key_of(BULK): {"0": 5}}, [BULK, twin], began_at=0.0) == {"bulk": [5]}
