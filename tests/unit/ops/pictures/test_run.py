from __future__ import annotations

from collections import Counter

from ops.pictures.run import RunSettings, schedule


def test_there_is_more_load_in_the_middle() -> None:
    arrivals = schedule(RunSettings(seconds=300.0, busy_factor=4.0))
    assert [one.at_s for one in arrivals] == sorted(one.at_s for one in arrivals)
    thirds = Counter(int(one.at_s // 100) for one in arrivals)
    assert set(thirds) == {0, 1, 2}
    assert 3.5 < thirds[1] / thirds[0] < 4.5
    assert 3.5 < thirds[1] / thirds[2] < 4.5
