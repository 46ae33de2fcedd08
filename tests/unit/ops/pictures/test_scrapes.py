from __future__ import annotations

from pathlib import Path

from ops.pictures.scrapes import Scrapes


def test_samples_by_series_with_the_target_s_labels(tmp_path: Path) -> None:
    scrapes = Scrapes()
    scrapes.add("rtt 0.5\n", at=1.0, target={"job": "a"})
    scrapes.add("rtt 0.7\n", at=3.0, target={"job": "a"})
    assert scrapes.times == [1.0, 3.0]
    [(labels, samples)] = scrapes.named("rtt")
    assert labels == {("__name__", "rtt"), ("job", "a")}
    assert samples == [(1.0, 0.5), (3.0, 0.7)]
    [(_, up)] = scrapes.named("up")
    assert up == [(1.0, 1.0), (3.0, 1.0)]
    scrapes.write(tmp_path / "scrapes.jsonl")
    assert Scrapes.read(tmp_path / "scrapes.jsonl") == scrapes
