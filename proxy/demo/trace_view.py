"""One trace out of the demo's file, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

from proxy.tracefile.calls import call_in
from proxy.tracefile.spans import LineError, Span, parse_line
from proxy.tracefile.tree import picture
from proxy.tracefile.waterfall import waterfall


def read_spans(file: Path, trace_id: str, *, offset: int = 0) -> list[Span]:
    """The spans of one trace, as they come. Reading starts at `offset` bytes; incomplete lines are skipped."""
    spans: list[Span] = []
    with file.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            # Triton writes ids in capitals.
            if trace_id.encode() not in line.lower():
                continue
            try:
                spans += [span for span in parse_line(line) if span.trace_id == trace_id]
            except LineError:
                continue
    return spans


def draw(spans: Sequence[Span], *, width: int) -> RenderableType:
    """The call that the spans tell of, as `headway trace` draws it."""
    return waterfall(picture(call_in(spans), spans), width=width)
