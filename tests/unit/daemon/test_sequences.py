from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.daemon.sequences import Sequences


def test_a_sequence_stays_where_it_was_put_until_it_ends() -> None:
    table: Sequences[str] = Sequences()
    assert table.find("llm", 7, now=0.0) is None
    assert table.put("llm", 7, "large", now=0.0)
    assert table.find("llm", 7, now=1.0) == "large"
    assert table.find("other", 7, now=1.0) is None
    assert table.find("llm", "7", now=1.0) is None
    table.end("llm", 7)
    table.end("llm", 7)
    assert table.find("llm", 7, now=1.0) is None


def test_an_idle_sequence_is_forgotten_and_a_used_one_is_not() -> None:
    table: Sequences[str] = Sequences(idle_s=10)
    table.put("llm", 1, "large", now=0.0)
    table.put("llm", 2, "small", now=0.0)
    assert table.find("llm", 1, now=9.0) == "large"
    assert table.find("llm", 2, now=10.0) is None
    assert table.find("llm", 1, now=18.9) == "large"
    assert len(table) == 1


def test_a_full_table_takes_no_new_sequences_and_keeps_the_known_ones() -> None:
    table: Sequences[str] = Sequences(idle_s=10, capacity=2)
    assert table.put("llm", 1, "large", now=0.0)
    assert table.put("llm", 2, "large", now=1.0)
    assert not table.put("llm", 3, "large", now=2.0)
    assert table.put("llm", 1, "small", now=2.0)
    assert table.find("llm", 1, now=2.0) == "small"
    assert table.put("llm", 3, "large", now=11.0)
    assert repr(table) == "<Sequences 2 of 2>"


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["put", "find", "end"]), st.floats(0, 4)), max_size=40))
def test_it_answers_as_a_plain_table_with_times_would(steps: list[tuple[int, str, float]]) -> None:
    table: Sequences[int] = Sequences(idle_s=5.0, capacity=3)
    model: dict[int, tuple[int, float]] = {}
    now = 0.0
    for step, (sequence, action, pause_s) in enumerate(steps):
        now += pause_s
        model = {key: entry for key, entry in model.items() if now - entry[1] < 5.0}
        if action == "put":
            room = sequence in model or len(model) < 3
            assert table.put("llm", sequence, step, now=now) is room
            if room:
                model[sequence] = (step, now)
        elif action == "find":
            known = model.get(sequence)
            assert table.find("llm", sequence, now=now) == (None if known is None else known[0])
            if known is not None:
                model[sequence] = (known[0], now)
        else:
            table.end("llm", sequence)
            model.pop(sequence, None)
        assert len(table) <= 3
