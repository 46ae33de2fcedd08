import pytest

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.summary import by_key, paired, ratio, summarise
from tests.unit.ops.bench.end_to_end.pond import EDF, QUIC, TCP, entry, scenario

POND = scenario()
COLUMNS = (EDF, QUIC, TCP)


def test_means_intervals_and_differences_seed_by_seed() -> None:
    entries = [
        entry(POND, Cell("dqn", column, "stable", seed), late=late)
        for column, late in ((TCP, 6), (QUIC, 1), (EDF, 3))
        for seed in (1, 2)
    ]
    found = summarise(entries, ["stable"], ["greedy", "dqn"], COLUMNS)
    assert [one["scheduler"] for one in found] == ["edf", "adaptive", None]
    edf, adaptive, tcp = found
    assert tcp["ahead_of"] == {}
    assert set(edf["ahead_of"]) == {"tcp/cubic"}
    assert set(adaptive["ahead_of"]) == {"tcp/cubic", "quic/edf/bbr"}
    scores = [one["metrics"]["score"] for one in entries]
    assert adaptive["mean"]["score"] == pytest.approx((scores[2] + scores[3]) / 2)
    assert adaptive["ahead_of"]["tcp/cubic"]["mean"] == pytest.approx(
        (scores[2] + scores[3] - scores[0] - scores[1]) / 2
    )
    assert adaptive["mean"]["by_class"]["slow"]["on_time"] <= 1.0
    assert adaptive["ci95"]["score"] is not None
    assert (adaptive["seeds"], adaptive["policy"], adaptive["workload"]) == (2, "dqn", "stable")


def test_only_seeds_that_both_have_are_compared() -> None:
    cells = by_key(
        [entry(POND, Cell("dqn", column, "stable", seed)) for column, seed in ((EDF, 1), (TCP, 2), (EDF, 2))]
    )
    edf, tcp = cells["stable", "dqn", EDF], cells["stable", "dqn", TCP]
    difference = paired(edf, tcp, lambda one, other: one - other)
    assert difference == {"mean": 0.0, "ci95": None, "seeds": 1}
    assert ratio(edf, tcp) == pytest.approx(1.0)
    assert paired({}, tcp, lambda one, other: one - other) is None
    assert ratio(edf, {}) is None
