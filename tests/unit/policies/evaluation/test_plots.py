"""`plot`, which writes the files, is tested with the command: `tests/unit/commands/test_comparison.py`."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from policies.evaluation.document import document
from policies.evaluation.plots import mix, on_time, regret, scores
from policies.evaluation.summary import summarise
from tests.unit.policies.evaluation.cells import WORKLOADS, comparison

CONTENT = document(comparison()[:6], WORKLOADS[:1], about={}, notes={})
ENTRIES = CONTENT["summary"]


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_policies_are_in_order_of_score_and_the_bound_is_a_line() -> None:
    axes = scores("one", ENTRIES).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dqn", "greedy", "static:small"]
    assert widths(axes) == pytest.approx([0.84, 0.775, 0.5])
    assert axes.lines[-1].get_xdata()[0] == 0.9  # type: ignore[index]


def test_regret_needs_a_bound() -> None:
    figure = regret("one", ENTRIES)
    assert figure is not None
    assert widths(figure.axes[0]) == pytest.approx([0.06, 0.125, 0.4])
    assert regret("one", summarise([cell._replace(bound=None) for cell in comparison()[:6]])) is None


def test_each_class_has_its_bars() -> None:
    figure = on_time("one", ENTRIES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bulk", "realtime"]
    assert len(figure.axes[0].patches) == 6


def test_the_mix_is_beside_the_arrival_rate() -> None:
    cells = [cell for cell in CONTENT["cells"] if cell.get("mix")]
    figure = mix("one", cells, ["large", "small"])
    assert figure is not None
    assert len(figure.axes) == 6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["large", "small", "shed", "failed"]
    assert mix("one", [], ["large"]) is None
