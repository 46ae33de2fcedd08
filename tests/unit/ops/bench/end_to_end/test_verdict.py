import pytest

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.summary import summarise
from ops.bench.end_to_end.verdict import verdicts
from ops.bench.network.grid import Row
from tests.unit.ops.bench.end_to_end.pond import EDF, QUIC, TCP, entry, scenario

POND = scenario()
RR = Row("quic", "rr", "bbr")


def test_what_is_best_and_what_is_gained() -> None:
    late = {("dqn", QUIC): 0, ("dqn", EDF): 2, ("dqn", TCP): 8, ("dqn", RR): 3, ("static:small", RR): 4}
    late |= {("static:small", TCP): 1, ("static:small", QUIC): 6, ("static:small", EDF): 2}
    entries = [
        entry(POND, Cell(policy, column, "stable", seed), late=count)
        for (policy, column), count in late.items()
        for seed in (1, 2)
    ]
    summary = summarise(entries, ["stable"], ["static:small", "dqn"], [RR, EDF, QUIC, TCP])
    (said,) = verdicts(entries, summary).values()
    assert said["best"]["cell"] == "dqn quic/adaptive/bbr"
    assert said["best"]["score"] == pytest.approx(1.0)
    mean = {(one["policy"], one["scheduler"]): one["mean"]["score"] for one in summary}
    assert said["to_tcp"] == pytest.approx(1 / mean["dqn", None])
    assert said["static"] == "static:small"
    assert said["to_static"] == pytest.approx(1 / mean["static:small", "rr"])
    assert said["to_tcp_less"]["mean"] == pytest.approx(1 - mean["dqn", None])
    assert set(said["behind_tcp"]) == {f"static:small {column}" for column in (RR, EDF, QUIC)}
    assert said["simulated"]["of"] == 8
    assert said["simulated"]["worst"]["cell"] == "dqn quic/adaptive/bbr"


def test_of_what_the_best_is_ahead_outside_the_interval() -> None:
    late = {QUIC: (0, 0, 0), EDF: (1, 0, 0), RR: (5, 5, 5), TCP: (9, 9, 9)}
    entries = [
        entry(POND, Cell("dqn", column, "stable", seed), late=counts[seed - 1])
        for column, counts in late.items()
        for seed in (1, 2, 3)
    ]
    (said,) = verdicts(entries, summarise(entries, ["stable"], ["dqn"], [RR, EDF, QUIC, TCP])).values()
    assert said["best"]["cell"] == "dqn quic/adaptive/bbr"
    assert said["best"]["others"] == 3
    (name,) = said["best"]["not_outside"]
    assert name == "dqn quic/edf/bbr"
    assert 0 < said["best"]["not_outside"][name]["mean"] < said["best"]["not_outside"][name]["ci95"]


def test_without_rivals_there_is_nothing_to_say() -> None:
    entries = [entry(POND, Cell("greedy", EDF, "stable", 1))]
    said = verdicts(entries, summarise(entries, ["stable"], ["greedy"], [EDF]))["stable/bbr"]
    assert (said["to_tcp"], said["to_static"], said["static"], said["behind_tcp"]) == (None, None, None, [])


def test_adaptive_is_behind_edf_only_outside_the_interval() -> None:
    def behind(late: dict[int, int]) -> list[str]:
        entries = [entry(POND, Cell("dqn", EDF, "stable", seed)) for seed in late]
        entries += [entry(POND, Cell("dqn", QUIC, "stable", seed), late=count) for seed, count in late.items()]
        found: list[str] = verdicts(entries, summarise(entries, ["stable"], ["dqn"], [EDF, QUIC]))["stable/bbr"][
            "behind_edf"
        ]
        return found

    assert behind({1: 8, 2: 8, 3: 8}) == ["dqn quic/adaptive/bbr"]
    assert behind({1: 8, 2: 0, 3: 0}) == []
    assert behind({1: 8}) == []
