"""Draws one call: a line for each span and each stage, bars on one time axis, a mark where the deadline is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.telemetry import names
from proxy.telemetry.stages import TOKEN
from proxy.tracefile.decision import decision_table
from proxy.tracefile.model_times import ModelTimes
from proxy.tracefile.numbers import milliseconds
from proxy.tracefile.spans import CLIENT, TRITON_SERVICE, Span
from proxy.tracefile.stages import label
from proxy.tracefile.tree import Picture, Row

MOST_ROWS = 100
NARROWEST_BARS = 16
NARROWEST_LABEL, WIDEST_LABEL = 8, 44
SQUEEZE = 2.0
"""The axis reaches to the deadline if the call is not squeezed by more than this; else the deadline is named only."""
TIME_WIDTH = 9
FINE_BELOW_MS = 1000.0
"""Times of longer calls have one decimal."""

BAR, BAR_START, BAR_END = "━", "╺", "╸"
MARK, MARK_IN_BAR = "┊", "╋"
FAILED = "✗"
"""Behind a span that ended with an error, and behind the stage in which the deadline ran out."""
BEFORE, AFTER = "◂", "▸"

_SHORT_NAMES = {names.PROXY_SERVICE: "proxy", names.DAEMON_SERVICE: "daemon", TRITON_SERVICE: "triton"}
_STYLES = {names.PROXY_SERVICE: "cyan", names.DAEMON_SERVICE: "green", TRITON_SERVICE: "magenta"}
_STAGE_STYLE, _OTHER_STYLE, _MISS_STYLE, _MARK_STYLE = "blue", "white", "bold red", "bold red"


@dataclass(frozen=True, slots=True)
class Axis:
    """From one time to another, milliseconds, over so many cells."""

    start_ms: float
    end_ms: float
    cells: int

    def halves(self, at_ms: float) -> float:
        """Position in half cells; outside the axis it is below 0 or above twice the cells."""
        return (at_ms - self.start_ms) / (self.end_ms - self.start_ms) * self.cells * 2

    def cell(self, at_ms: float) -> int | None:
        """The cell of a moment; None outside the axis."""
        cell = math.floor(self.halves(at_ms) / 2)
        if cell == self.cells and at_ms <= self.end_ms:
            return self.cells - 1
        return cell if 0 <= cell < self.cells else None


def waterfall(picture: Picture, *, width: int) -> RenderableType:
    """The call's headline, its lines, and what the policy had to choose from."""
    rows = picture.rows[:MOST_ROWS]
    labels = [_label(row, lost=row.stage != "" and row.stage == picture.call.missed_at) for row in rows]
    room = max(NARROWEST_LABEL, width - 2 * TIME_WIDTH - NARROWEST_BARS - 3)
    label_width = min(WIDEST_LABEL, max(text.cell_len for text in labels), room)
    cells = max(NARROWEST_BARS, width - label_width - 2 * TIME_WIDTH - 3)
    axis = _axis(picture, cells)
    digits = 2 if axis.end_ms < FINE_BELOW_MS else 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("", width=label_width, no_wrap=True, overflow="ellipsis")
    table.add_column("after ms", width=TIME_WIDTH - 1, justify="right", no_wrap=True)
    table.add_column("took ms", width=TIME_WIDTH - 1, justify="right", no_wrap=True)
    table.add_column(_scale(picture, axis), width=cells, no_wrap=True)
    for row, text in zip(rows, labels, strict=True):
        lost = bool(row.stage) and row.stage == picture.call.missed_at
        times = (f"{row.start_ms:.{digits}f}", f"{row.end_ms - row.start_ms:.{digits}f}")
        table.add_row(text, *times, _bar(row, axis, picture.call.deadline_ms, lost=lost))
    parts: list[RenderableType] = [*headline(picture), table]
    parts += [Text(text, style="dim") for text in notes(picture)]
    decision = decision_table(picture.spans)
    return Group(*parts, *([] if decision is None else ["", decision]))


def headline(picture: Picture) -> list[Text]:
    """Which call it is, and how it went."""
    call = picture.call
    when = datetime.fromtimestamp(call.start_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    what = f"{call.traffic_class} {call.method.rpartition('/')[2]}: {milliseconds(call.duration_ms)} ms, "
    return [Text.assemble("trace ", (call.trace_id, "bold"), f"  {when} UTC"), Text.assemble(what, _verdict(picture))]


def _verdict(picture: Picture) -> Text:
    call = picture.call
    ending = Text("" if call.status == "OK" else f", {call.status}")
    if message := next((span.message for span in picture.spans if span.span_id == call.span_id and span.message), ""):
        ending.append(f": {message}")
    if call.deadline_ms is None or call.slack_ms is None:
        return Text("without a deadline").append_text(ending)
    deadline = f"deadline {milliseconds(call.deadline_ms)} ms, "
    if not call.missed:
        left = f"{milliseconds(call.slack_ms)} ms left"
        return Text.assemble(deadline, (left, "yellow" if call.failed else "green")).append_text(ending)
    late = f"missed by {milliseconds(-call.slack_ms)} ms" if call.slack_ms < 0 else "missed"
    where = f": it ran out in {label(call.missed_at)}" if call.missed_at else ", at no stage that the trace names"
    if call.missed_at == TOKEN:
        where = ": a later message of the answer was late"
    return Text.assemble(deadline, (late + where, _MISS_STYLE)).append_text(ending)


def notes(picture: Picture) -> list[str]:
    """What the lines alone don't say."""
    call, texts = picture.call, []
    if call.answered:
        instance = next((text for span in picture.spans if (text := span.text(names.INSTANCE))), "")
        asked = f", asked for {call.asked}" if call.asked and call.asked != call.answered else ""
        texts.append(f"answered by {call.answered}{f' on {instance}' if instance else ''}{asked}")
    times = ModelTimes()
    for span in picture.spans:
        times.add(span)
    if (time := times.of(call.trace_id)) is not None:
        queue, compute = milliseconds(time.queue_ms), milliseconds(time.compute_ms)
        texts.append(f"Triton says: {queue} ms in its queue, {compute} ms of compute")
    texts += [text for span in picture.spans if span.span_id == call.span_id and (text := _streamed(span))]
    moved: dict[str, list[str]] = {}
    for service, moved_ms in picture.shifts_ms.items():
        how = f"{milliseconds(abs(moved_ms))} ms {'later' if moved_ms > 0 else 'earlier'}"
        moved.setdefault(how, []).append(_SHORT_NAMES.get(service, service))
    texts += [f"{', '.join(services)}: drawn {how}, by another host's clock" for how, services in moved.items()]
    if len(picture.rows) > MOST_ROWS:
        texts.append(f"{len(picture.rows) - MOST_ROWS} more lines are not drawn")
    if picture.others:
        texts.append(f"{picture.others} more spans of this trace belong to other calls")
    return texts


def _streamed(own: Span) -> str:
    """What the call's span tells of an answer with many messages; empty for one message."""
    first_s, messages, late = (
        own.number(names.TIME_TO_FIRST_TOKEN),
        own.number(names.MESSAGES),
        own.number(names.LATE_MESSAGES),
    )
    if first_s is None:
        return ""
    which = f" ({own.text(names.LATE_INDEXES)})" if late else ""
    counted = f"{messages or 0:.0f} messages, {late or 0:.0f} late{which}"
    return f"first message after {milliseconds(first_s * 1000)} ms; {counted}"


def _label(row: Row, *, lost: bool) -> Text:
    indent = " " * row.depth
    if row.span is None:
        sign = f" {FAILED}" if lost else ""
        return Text(f"{indent}· {label(row.stage)}{sign}", style=_MISS_STYLE if lost else _STAGE_STYLE)
    span = row.span
    service = _SHORT_NAMES.get(span.service, span.service)
    text = Text.assemble(indent, (service, _STYLES.get(span.service, _OTHER_STYLE)))
    text.append(f"{' →' if span.kind == CLIENT else ''} {span.name.rpartition('/')[2]}")
    if span.failed:
        text.append(f" {FAILED}", style="red")
    return text


def _axis(picture: Picture, cells: int) -> Axis:
    """Over the call and what is below it; further where that does not squeeze it."""
    call = picture.call
    start_ms, end_ms = 0.0, max(call.duration_ms, 1e-3)
    widest_ms = SQUEEZE * end_ms
    candidates = [time_ms for row in picture.rows for time_ms in (row.start_ms, row.end_ms)]
    if call.deadline_ms is not None:
        candidates.append(call.deadline_ms * 1.001)
    for time_ms in sorted(candidates, key=abs):
        start, end = min(start_ms, time_ms), max(end_ms, time_ms)
        if end - start <= widest_ms:
            start_ms, end_ms = start, end
    return Axis(start_ms, end_ms, cells)


def _scale(picture: Picture, axis: Axis) -> Text:
    """The heading of the bars: the deadline over its mark, or where it would be, and the end of the axis."""
    deadline_ms = picture.call.deadline_ms
    if deadline_ms is None:
        return Text(f"{milliseconds(axis.end_ms)} ms".rjust(axis.cells), style="dim")
    cell = axis.cell(deadline_ms)
    text = f"deadline {milliseconds(deadline_ms)}"
    if cell is None:
        return Text(f"{text} {AFTER if deadline_ms > 0 else BEFORE}".rjust(axis.cells), style="dim")
    # The text ends over the mark, or begins there if it has no room before it.
    drawn = f"{text} {MARK}".rjust(cell + 1) if cell >= len(text) + 1 else f"{' ' * cell}{MARK} {text}"
    return Text(drawn[: axis.cells], style=_MARK_STYLE)


def _bar(row: Row, axis: Axis, deadline_ms: float | None, *, lost: bool) -> Text:
    """The row's bar in cells of two halves, at least one half long, and the deadline's mark through it."""
    cells = [" "] * axis.cells
    first = min(max(round(axis.halves(row.start_ms)), 0), 2 * axis.cells - 1)
    last = min(max(round(axis.halves(row.end_ms)), first + 1), 2 * axis.cells)
    for half in range(first, last):
        cell, right = divmod(half, 2)
        cells[cell] = BAR if cells[cell] == BAR_END else (BAR_START if right else BAR_END)
    if axis.halves(row.start_ms) < -1:
        cells[0] = BEFORE
    if axis.halves(row.end_ms) > 2 * axis.cells + 1:
        cells[-1] = AFTER
    text = Text("".join(cells), style=_bar_style(row, lost=lost))
    mark = None if deadline_ms is None else axis.cell(deadline_ms)
    if mark is None:
        return text
    sign = MARK if cells[mark] == " " else MARK_IN_BAR
    return Text.assemble(text[:mark], (sign, _MARK_STYLE), text[mark + 1 :])


def _bar_style(row: Row, *, lost: bool) -> str:
    if lost:
        return _MISS_STYLE
    return _STAGE_STYLE if row.span is None else _STYLES.get(row.span.service, _OTHER_STYLE)
