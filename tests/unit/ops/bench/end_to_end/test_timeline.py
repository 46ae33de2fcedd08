from pathlib import Path

from ops.bench.end_to_end import timeline
from ops.bench.end_to_end.grid import Cell
from tests.unit.ops.bench.end_to_end.pond import QUIC, entry, scenario

CHANGING = {"rate": "10mbit", "changes": [{"at": "1s", "rate": "1mbit", "loss": "2%", "delay": "20ms"}]}


def test_a_picture_for_each_cell_with_recordings_its_seeds_together(tmp_path: Path) -> None:
    pond = scenario(trace=True, link=CHANGING)
    entries = [entry(pond, Cell("dqn", QUIC, "stable", seed)) for seed in (1, 2)]
    entries.append(entry(scenario(), Cell("static:small", QUIC, "stable", 1)))
    assert [file.name for file in timeline.draw(pond, entries, tmp_path)] == [
        "timeline-stable-dqn-quic-adaptive-bbr.png"
    ]


def test_the_changes_stand_at_the_link() -> None:
    pond = scenario(trace=True, link=CHANGING)
    link, *_ = timeline.timeline(pond, [entry(pond, Cell("dqn", QUIC, "stable", 1))]).axes
    assert [text.get_text() for text in link.texts] == ["1 Mbit/s, 20 ms, 2.0% loss"]


def test_times_fall_into_bins_and_what_is_later_is_left_out() -> None:
    assert timeline.binned([0.1, 3.9, 2.0, 99.0], 6.0) == [[0], [1, 2], []]


def test_samples_of_one_mode_are_one_spell() -> None:
    modes = ["edf", "edf", None, "pruning", "pruning", "edf"]
    samples = [{"at": float(at), "mode": mode} for at, mode in enumerate(modes)]
    assert timeline.spells(samples, 9.0) == [("edf", 0.0, 3.0), ("pruning", 3.0, 5.0), ("edf", 5.0, 9.0)]
    assert timeline.spells([], 9.0) == []
