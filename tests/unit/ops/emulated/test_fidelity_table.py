"""Measurements as a table."""

from __future__ import annotations

import io

from rich.console import Console

from ops.emulated.fidelity import Fidelity, Figures
from ops.emulated.fidelity_table import fidelity_table


def test_a_row_for_each_figure() -> None:
    whole = Fidelity("llm-small", 0.7, 9, {"answer": Figures(0.0512, 0.09)}, {"answer": Figures(0.05, 0.08)}, 2.25, 2.5)
    stream = Fidelity(
        "llm-chat",
        0.0,
        3,
        {"first": Figures(0.1, 0.2), "mean_gap": Figures(0.01, 0.02)},
        {"first": Figures(0.1, 0.1), "mean_gap": Figures(0.01, 0.01)},
    )
    out = io.StringIO()
    Console(file=out, width=140).print(fidelity_table([whole, stream]))
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert ["llm-small", "70%", "9", "answer", "51.2", "90.0", "50.0", "80.0", "+1.2", "+10.0", "2.25", "2.50"] in lines
    assert ["llm-chat", "alone", "3", "first", "token", "100.0", "200.0", "100.0", "100.0", "+0.0", "+100.0"] in lines
    assert ["mean", "gap", "10.0", "20.0", "10.0", "10.0", "+0.0", "+10.0"] in lines
