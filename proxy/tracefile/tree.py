"""The spans of one call on one time axis.

Spans carry the time of their own host's clock. Where one of another service begins before its parent, or ends after a
parent that ended well, the two clocks disagree: it is moved, with all below it. Where to is known if the call's stages
are, since they were measured with the clocks' offset; else the way there is taken to be as long as the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from proxy.telemetry import names
from proxy.telemetry.stages import DAEMON_QUEUE, STAGES
from proxy.tracefile.calls import Call
from proxy.tracefile.spans import SERVER, TRITON_SERVICE, Span

EARLY_NS = 1_000_000
"""A child begins this much before its parent at most where their clocks agree: they round differently."""
LATE_NS = 5_000_000
"""It ends this much after its parent at most: whoever answers writes its span's end when the answer is on its way."""
STRAY_MS, STRAY_SHARE = 2.0, 0.02
"""A call's stages add up to its time but for this much. Those of a stream end with its first message."""

_SERVING = (names.DAEMON_SERVICE, TRITON_SERVICE)
"""Their spans belong within a call."""
_UPLINK = STAGES[: STAGES.index(DAEMON_QUEUE)]
"""The stages before the call is at the daemon."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture. Times are milliseconds after the call arrived."""

    depth: int
    start_ms: float
    end_ms: float
    span: Span | None = None
    stage: str = ""
    """Instead of a span."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A call, its spans and stages in the order in which they are drawn."""

    call: Call
    rows: Sequence[Row]
    shifts_ms: Mapping[str, float]
    """By how much the spans of a service were moved, where they were."""
    others: int
    """Spans of the trace that are not in it: those of other calls."""

    @property
    def spans(self) -> list[Span]:
        """As drawn."""
        return [row.span for row in self.rows if row.span is not None]


def picture(call: Call, spans: Sequence[Span]) -> Picture:
    """The call's own span with its stages, what is below it, and above it those that led to it.

    Spans whose parents are missing are in it too, unless the trace has other calls that they may belong to.
    """
    tree = _Tree(call, spans)
    own = tree.by_id[call.span_id]
    above = tree.ancestors(own)
    for ancestor, below in pairwise([*above, own]):
        tree.place(below, under=ancestor)
    zero_ns = own.start_ns + tree.shift_ns[own.span_id]
    rows = [tree.row(span, depth, zero_ns) for depth, span in enumerate(above)]
    tree.descend(own, len(above), zero_ns, rows)
    for orphan in tree.orphans(besides=[*above, own]):
        tree.place_orphan(orphan, own)
        tree.descend(orphan, 0, zero_ns, rows)
    drawn = {row.span.span_id for row in rows if row.span is not None}
    return Picture(call, rows, tree.moved_ms(drawn), len(tree.by_id) - len(drawn))


class _Tree:
    """Parents and children of a trace, and how far each span was moved so far."""

    def __init__(self, call: Call, spans: Sequence[Span]) -> None:
        self.by_id = {span.span_id: span for span in spans}
        self.shift_ns: dict[str, int] = dict.fromkeys(self.by_id, 0)
        self._service_shift_ns: dict[str, int] = {}
        self._call = call
        self._children: dict[str, list[Span]] = {}
        for span in sorted(self.by_id.values(), key=lambda span: (span.start_ns, -span.end_ns)):
            if span.parent_id in self.by_id and span.parent_id != span.span_id:
                self._children.setdefault(span.parent_id, []).append(span)

    def ancestors(self, span: Span) -> list[Span]:
        """From the topmost down; a circle of parents, which only a broken writer makes, is cut."""
        found: list[Span] = []
        seen = {span.span_id}
        while (parent := self.by_id.get(span.parent_id)) is not None and parent.span_id not in seen:
            found.insert(0, parent)
            seen.add(parent.span_id)
            span = parent
        return found

    def orphans(self, *, besides: Sequence[Span]) -> list[Span]:
        """Roots of what else there is, if the trace has one call only."""
        if sum(_is_call(span) for span in self.by_id.values()) > 1:
            return []
        roots = [span for span in self.by_id.values() if span.parent_id not in self.by_id and span not in besides]
        return sorted(roots, key=lambda span: span.start_ns)

    def descend(self, top: Span, depth: int, zero_ns: int, rows: list[Row]) -> None:
        """Add a span, its stages if it is the call's, and all below it."""
        waiting = [(top, depth)]
        seen = {row.span.span_id for row in rows if row.span is not None}
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            rows.append(self.row(span, depth, zero_ns))
            if span.span_id == self._call.span_id:
                rows += _stage_rows(self._call, depth + 1)
            children = self._children.get(span.span_id, ())
            for child in children:
                self.place(child, under=span)
            waiting += [(child, depth + 1) for child in reversed(children)]

    def row(self, span: Span, depth: int, zero_ns: int) -> Row:
        """Its place."""
        shift = self.shift_ns[span.span_id] - zero_ns
        return Row(depth, (span.start_ns + shift) / 1e6, (span.end_ns + shift) / 1e6, span)

    def place(self, span: Span, *, under: Span) -> None:
        """Move a span as its parent was, and further if their clocks disagree."""
        further = 0 if span.service == under.service else self._disagreement_ns(under, span)
        self.shift_ns[span.span_id] = self._service_shift_ns[span.service] = self.shift_ns[under.span_id] + further

    def place_orphan(self, span: Span, own: Span) -> None:
        """Move a root as others of its service were; the first of those that serve calls, so that it fits the call."""
        if span.service in self._service_shift_ns:
            self.shift_ns[span.span_id] = self._service_shift_ns[span.service]
        elif span.service in _SERVING:
            self.place(span, under=own)

    def _disagreement_ns(self, parent: Span, child: Span) -> int:
        """How far the child has to be moved to fit; 0 where nothing shows that the clocks disagree."""
        after, before = parent.start_ns - child.start_ns, parent.end_ns - child.end_ns
        fits = child.end_ns - child.start_ns <= parent.end_ns - parent.start_ns
        late = -before > LATE_NS and fits and (not parent.failed or child.start_ns > parent.end_ns + EARLY_NS)
        if after <= EARLY_NS and not late:
            return 0
        arrives_ns = self._arrival_ns(child)
        if arrives_ns is not None:
            own = self.by_id[self._call.span_id]
            return own.start_ns + arrives_ns - child.start_ns
        return (after + before) // 2 if after <= before else after

    def _arrival_ns(self, child: Span) -> int | None:
        """From the call's arrival at the proxy to that at the daemon, where its stages say."""
        stages = self._call.stages
        if child.service != names.DAEMON_SERVICE or DAEMON_QUEUE not in stages:
            return None
        return int(sum(stages.get(stage, 0.0) for stage in _UPLINK) * 1e6)

    def moved_ms(self, drawn: set[str]) -> dict[str, float]:
        """The largest move of each service."""
        found: dict[str, float] = {}
        for span_id in drawn:
            moved_ms, service = self.shift_ns[span_id] / 1e6, self.by_id[span_id].service
            if abs(moved_ms) > abs(found.get(service, 0.0)):
                found[service] = moved_ms
        return dict(sorted(found.items()))


def _is_call(span: Span) -> bool:
    return span.kind == SERVER and span.service == names.PROXY_SERVICE


def _stage_rows(call: Call, depth: int) -> list[Row]:
    ends = list(accumulate(call.stages.values(), initial=0.0))
    rows = [
        Row(depth, start_ms, end_ms, stage=name)
        for name, start_ms, end_ms in zip(call.stages, ends[:-1], ends[1:], strict=True)
    ]
    if rows and call.duration_ms - ends[-1] > STRAY_MS + STRAY_SHARE * call.duration_ms:
        rows.append(Row(depth, ends[-1], call.duration_ms, stage="rest"))
    return rows
