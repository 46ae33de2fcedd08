import io

from rich.console import Console

from ops.bench.end_to_end.grid import Cell, column_of
from ops.bench.end_to_end.summary import summarise
from ops.bench.end_to_end.tables import print_tables
from ops.bench.end_to_end.verdict import verdicts
from tests.unit.ops.bench.end_to_end.pond import EDF, QUIC, TCP, entry, scenario


def test_a_table_for_each_workload_with_the_simulator_and_the_verdict() -> None:
    pond = scenario()
    entries = [
        entry(pond, Cell(policy, column, "stable", 1), late=late)
        for policy, late in (("dqn", 0), ("static:small", 5))
        for column in (EDF, QUIC, TCP)
        if (policy, column) != ("static:small", TCP)
    ]
    summary = summarise(entries, ["stable"], ["static:small", "dqn"], (EDF, QUIC, TCP))
    out = io.StringIO()
    print_tables(summary, pond.columns, verdicts(entries, summary), Console(file=out, width=120))
    text = out.getvalue()
    assert "stable, QUIC with bbr, seeds: 1. Score" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("dqn ")]
    assert rows[0] == ["dqn", "1.000", "1.000", "1.000"]
    assert rows[1] == ["dqn", "-50.0", "-50.0", "-50.0"]
    assert [line.split()[-1] for line in text.splitlines() if line.strip().startswith("static:small ")] == ["–", "–"]
    assert "dqn over TLS/TCP: 1.00 times" in text
    assert "outside the interval" not in text  # one seed has none
    assert "simulator within 5 points in 0 of 5 cells" in text


def test_what_is_level_with_the_best_is_named() -> None:
    pond = scenario()
    late = {EDF: (1, 0, 0), QUIC: (0, 0, 0), TCP: (9, 9, 9)}
    entries = [
        entry(pond, Cell("dqn", column, "stable", seed), late=counts[seed - 1])
        for column, counts in late.items()
        for seed in (1, 2, 3)
    ]
    summary = summarise(entries, ["stable"], ["dqn"], (EDF, QUIC, TCP))
    out = io.StringIO()
    print_tables(summary, pond.columns, verdicts(entries, summary), Console(file=out, width=200))
    assert "outside the interval ahead of 1 of 2 others; closest of the rest: dqn quic/edf/bbr (+0." in out.getvalue()
    two = [one for one in summary if column_of(one) != EDF]
    print_tables(two, pond.columns, verdicts(entries, two), Console(file=out, width=200))
    assert "outside the interval ahead of all 1 others" in out.getvalue()
