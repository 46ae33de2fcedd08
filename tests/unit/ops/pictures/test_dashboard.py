from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ops.pictures.dashboard import draw, shown
from ops.pictures.scrapes import Scrapes


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.98765, "percentunit", 2, "98.77 %"),
        (0.5, "percentunit", None, "50 %"),
        (0.0234, "s", None, "23.4 ms"),
        (0.00002, "s", None, "20 µs"),
        (1.5, "s", None, "1.5 s"),
        (1_250_000.0, "Bps", None, "1.25 MB/s"),
        (12.0, "reqps", None, "12/s"),
        (1500.0, None, None, "1.5k"),
        (0.0, None, None, "0"),
        (float("nan"), "s", None, "–"),
    ],
)
def test_numbers_have_their_units(value: float, unit: str | None, decimals: int | None, text: str) -> None:
    assert shown(value, unit, decimals) == text


def panel(kind: str, expression: str, y: int, **defaults: object) -> dict[str, object]:
    return {
        "type": kind,
        "title": expression,
        "gridPos": {"x": 0, "y": y, "w": 6, "h": 4},
        "fieldConfig": {"defaults": defaults},
        "targets": [{"expr": expression, "legendFormat": "{{job}}"}],
    }


@pytest.fixture
def dashboard(tmp_path: Path) -> Path:
    """Has each kind of panel, below two rows."""
    panels = [
        {"type": "row", "title": "First", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
        panel("stat", "sum(rate(calls_total[$__range]))", 1),
        panel("timeseries", "rate(calls_total[$__rate_interval])", 5, unit="reqps", min=0),
        panel("timeseries", "calls_total", 9, custom={"stacking": {"mode": "normal"}}),
        panel("timeseries", "nothing_of_the_kind", 13),
        {"type": "row", "title": "Second", "gridPos": {"x": 0, "y": 17, "w": 24, "h": 1}},
        panel("state-timeline", "up", 18),
    ]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"panels": panels}), encoding="utf-8")
    return file


@pytest.fixture
def scrapes() -> Scrapes:
    found = Scrapes()
    for second in range(0, 12, 2):
        found.add(f"calls_total {second}\n", at=100.0 + second, target={"job": "a"})
    return found


def test_rows_are_drawn_one_below_the_other(tmp_path: Path, dashboard: Path, scrapes: Scrapes) -> None:
    heights = []
    for rows in (["Second"], ["First", "Second"]):
        draw(scrapes, tmp_path / "a.png", rows=rows, dashboard=dashboard)
        with Image.open(tmp_path / "a.png") as image:
            heights.append(image.size[1])
    # Four and sixteen units of panels, and one for each title.
    assert heights[1] / heights[0] == pytest.approx((5 + 17) / 5, rel=0.02)


def test_a_row_that_is_not_there_is_named(tmp_path: Path, dashboard: Path, scrapes: Scrapes) -> None:
    with pytest.raises(ValueError, match=r"no row Third; it has First, Second"):
        draw(scrapes, tmp_path / "a.png", rows=["Third"], dashboard=dashboard)
