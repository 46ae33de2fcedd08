from __future__ import annotations

import pytest

from policies.evaluation.summary import best, metrics, rival, summarise
from tests.unit.policies.evaluation.cells import cell, comparison


def test_a_cell_has_the_figures_of_the_results_format() -> None:
    figures = metrics(cell("one", "greedy", 1, 0.72))
    assert {"on_time", "weighted_on_time", "score", "bound_share", "p50_s", "p99_s", "by_class"} <= set(figures)
    assert figures["bound_share"] == pytest.approx(0.8)
    assert figures["regret"] == pytest.approx(0.18)
    assert figures["bound_reached"] == 0.88
    assert list(figures["by_class"]) == ["bulk", "realtime"]
    assert figures["by_class"]["realtime"] == {
        "weight": 2.0,
        "on_time": 1.0,
        "shed": 0.0,
        "p50_s": 0.2,
        "p99_s": 0.4,
        "mean_s": 0.3,
    }
    alone = metrics(cell("one", "greedy", 1, 0.72)._replace(bound=None))
    assert (alone["bound_share"], alone["regret"], alone["bound"]) == (None, None, None)


def test_an_entry_has_means_and_intervals() -> None:
    entries = summarise(comparison())
    assert [(entry["workload"], entry["policy"]) for entry in entries] == [
        ("one", "static:small"),
        ("one", "greedy"),
        ("one", "dqn"),
        ("two", "static:small"),
        ("two", "greedy"),
        ("two", "dqn"),
    ]
    greedy = entries[1]
    assert (greedy["seeds"], greedy["exact_bound"], greedy["tuned"]) == (2, 2, True)
    assert greedy["knobs"] == {"margin_sigmas": 2.0}
    assert greedy["transport"] is None
    assert greedy["mean"]["score"] == pytest.approx(0.775)
    assert greedy["ci95"]["score"] == pytest.approx(12.706 * 0.025)
    assert greedy["mean"]["by_class"]["realtime"]["on_time"] == pytest.approx(0.9)
    # One seed had no answer: its latency is left out, and one value has no interval.
    assert (greedy["mean"]["p50_s"], greedy["ci95"]["p50_s"]) == (0.3, None)


def test_the_learned_policy_is_compared_with_each_other_seed_by_seed() -> None:
    dqn = summarise(comparison())[2]
    assert list(dqn["ahead_of"]) == ["static:small", "greedy"]
    ahead = dqn["ahead_of"]["greedy"]
    assert ahead["seeds"] == 2
    # 0.82 - 0.75 and 0.86 - 0.80: the difference varies less than the scores.
    assert ahead["score"]["mean"] == pytest.approx(0.065)
    assert ahead["score"]["ci95"] == pytest.approx(12.706 * 0.005)
    assert ahead["on_time_by_class"]["realtime"]["mean"] == pytest.approx(0.1)
    assert ahead["on_time_by_class"]["bulk"] == {"mean": 0.0, "ci95": 0.0}


def test_its_rival_is_the_best_of_the_others() -> None:
    entries = summarise(comparison())
    pair = rival(entries[:3])
    assert pair is not None
    assert [entry["policy"] for entry in pair] == ["dqn", "greedy"]
    assert best(entries[3:])["policy"] == "greedy"
    pair = rival(entries[3:])
    assert pair is not None
    assert [entry["policy"] for entry in pair] == ["dqn", "greedy"]


def test_without_a_learned_policy_the_best_is_compared() -> None:
    entries = summarise(comparison(subject="slackfit"))
    pair = rival(entries[3:])
    assert pair is not None
    assert [entry["policy"] for entry in pair] == ["greedy", "slackfit"]


def test_one_learned_policy_is_no_rival_of_another() -> None:
    cells = [*comparison(), *(cell("one", "dqn:other", seed, 0.9) for seed in (1, 2))]
    entries = [entry for entry in summarise(cells) if entry["workload"] == "one"]
    pair = rival(entries)
    assert pair is not None
    assert [entry["policy"] for entry in pair] == ["dqn", "greedy"]
    assert "dqn:other" in pair[0]["ahead_of"]


def test_a_policy_alone_has_no_rival_and_a_seed_alone_no_interval() -> None:
    entries = summarise([cell("one", "dqn", 1, 0.8)])
    assert rival(entries) is None
    assert entries[0]["ci95"]["score"] is None
    entries = summarise([cell("one", "dqn", 1, 0.8), cell("one", "greedy", 1, 0.7)])
    assert entries[0]["ahead_of"]["greedy"]["score"] == {"mean": pytest.approx(0.1), "ci95": None}
