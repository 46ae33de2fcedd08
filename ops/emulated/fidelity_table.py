"""What was measured of emulated models, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from ops.emulated.fidelity import Fidelity, Figures

WORDS = {"answer": "answer", "first": "first token", "mean_gap": "mean gap", "longest_gap": "longest gap"}


def fidelity_table(found: Sequence[Fidelity]) -> Table:
    """A row for each model, load and figure: milliseconds, measured and simulated, and by how much they differ."""
    table = Table(
        title="ms at a client beside Triton, and in the simulator; 95th percentiles after the medians",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    for heading in ("model", "load", "requests", "what", "measured", "simulated", "difference", "batch", "simulated"):
        table.add_column(heading, justify="left" if heading in {"model", "what"} else "right", no_wrap=True)
    before = ""
    for each in found:
        if before and each.model != before:
            table.add_section()
        for number, row in enumerate(_rows(each)):
            first = (each.model if each.model != before else "", _load(each.load), str(each.requests))
            table.add_row(*(first if not number else ("", "", "")), *row)
            before = each.model
    return table


def _rows(each: Fidelity) -> Iterator[tuple[str, ...]]:
    batches = (_batch(each.measured_batch), _batch(each.simulated_batch))
    for name, measured in each.measured.items():
        simulated = each.simulated[name]
        apart = Figures(measured.p50_s - simulated.p50_s, measured.p95_s - simulated.p95_s)
        yield WORDS[name], _both(measured), _both(simulated), _both(apart, sign="+"), *batches


def _load(load: float) -> str:
    return f"{load:.0%}" if load else "alone"


def _batch(size: float | None) -> str:
    return "" if size is None else f"{size:.2f}"


def _both(figures: Figures, *, sign: str = "") -> str:
    return f"{figures.p50_s * 1e3:{sign}.1f} {figures.p95_s * 1e3:{sign}.1f}"
