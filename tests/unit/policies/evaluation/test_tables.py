from __future__ import annotations

import math
from io import StringIO

from rich.console import Console, RenderableType

from policies.evaluation.summary import summarise
from policies.evaluation.tables import knobs_text, tables, tuned_table, verdict, with_interval
from policies.evaluation.tune import Knobs
from policies.evaluation.tuned import TunedOn
from tests.unit.policies.evaluation.cells import comparison


def shown(*things: RenderableType, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width)
    for thing in things:
        console.print(thing)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in str(text).splitlines())


def test_a_workload_is_a_table_with_the_best_on_top_and_marked() -> None:
    text = shown(*tables(summarise(comparison())))
    first = text[: text.index("two: 2 seeds")]
    rows = first.splitlines()
    assert rows[0] == "one: 2 seeds, clairvoyant bound 0.900 ± 0.000 (exact)"
    assert rows[2].split() == ["policy", "score", "bound", "bulk", "realtime", "shed"]
    assert rows[4].split() == ["dqn", "*", "0.840", "±", "0.254", "93.3", "100.0", "100.0", "10.0"]
    assert [row.split()[0] for row in rows[4:7]] == ["dqn", "greedy", "static:small"]
    assert "dqn - greedy, seed by seed: +0.065 ± 0.064 (ahead)" in rows
    assert "  on time, percentage points: bulk +0.0, realtime +10.0" in rows
    assert "knobs, tuned on this workload: greedy: margin_sigmas 2" in rows


def test_several_workloads_are_compared_at_the_end() -> None:
    text = shown(*tables(summarise(comparison())), width=100)
    last = text[text.index("Against the best other policy") :].splitlines()
    assert last[3].split() == ["one", "dqn", "-", "greedy", "+0.065", "±", "0.064", "ahead", "93.3:86.1", "100.0:90.0"]
    assert last[4].split()[:8] == ["two", "dqn", "-", "greedy", "-0.045", "±", "0.699", "equal"]
    assert "Against" not in shown(*tables(summarise(comparison()[:6])))


def test_without_a_bound_there_is_none_in_the_title() -> None:
    cells = [cell._replace(bound=None) for cell in comparison()[:6]]
    assert shown(*tables(summarise(cells))).splitlines()[0] == "one: 2 seeds"


def test_verdicts() -> None:
    found = [verdict({"mean": mean, "ci95": half}) for mean, half in ((0.1, 0.05), (-0.1, 0.05), (0.1, 0.1), (1, None))]
    assert found == ["ahead", "behind", "equal", "one seed"]


def test_numbers_and_knobs() -> None:
    assert with_interval(0.5, None) == "0.500"
    assert with_interval(0.5, 0.01, sign="+") == "+0.500 ± 0.010"
    assert knobs_text({"hold_s": 1.0, "none_fits": "shed"}) == "hold_s 1, none_fits shed"
    rows = ((4.25, "large"), (math.inf, "small"))
    assert knobs_text({"table": rows}) == knobs_text({"table": [[4.25, "large"], [None, "small"]]})
    assert knobs_text({"table": rows}) == "large to 4.25/s, small"


def test_what_a_search_found_is_shown_the_best_first() -> None:
    policies = {"greedy": Knobs({"margin_sigmas": 2.0}, 0.7), "infaas": Knobs({"window_s": 0.5}, 0.8)}
    rows = shown(tuned_table({"mine": TunedOn("c", (900,), policies)})).splitlines()
    assert [row.split() for row in rows[2:4]] == [
        ["mine", "infaas", "0.800", "window_s", "0.5"],
        ["mine", "greedy", "0.700", "margin_sigmas", "2"],
    ]
