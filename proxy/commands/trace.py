"""`headway trace`: its flags, and which calls of the files it draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from proxy.tracefile.calls import Call, CallCollector
    from proxy.tracefile.reader import TraceFiles
    from proxy.tracefile.tree import Picture

EPILOG = """**Examples**

`headway trace headway-traces.jsonl`: how the calls went, and the worst of them drawn

`headway trace proxy.jsonl daemon.jsonl --missed --class realtime --limit 3`: three that were late

`headway trace headway-traces.jsonl --id 67a66f95`: one trace; the beginning of its id is enough

Files are what `telemetry.traces_file` names, or what a collector's file exporter writes; several are read as one. Times
are milliseconds; `after` counts from the call's arrival at the proxy, `left` is what was left of the deadline.
"""

FILES = "OTLP JSON lines. May still be written to."
MISSED = "Draw only calls that missed their deadline."
ID = "Draw this trace, without the summary: its id, or how it begins."
CLASS = "Only calls of this traffic class."
LIMIT = "Draw at most so many calls, the worst first; 0 for the summary alone. By default 1, with --missed 5."
AS_JSON = "The summary and the drawn calls as JSON."

PROGRESS_FROM_BYTES = 16 << 20
"""About half a second of reading."""
NAMED_IDS = 5


def trace(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help=FILES, show_default=False)],
    missed: Annotated[bool, typer.Option("--missed", help=MISSED)] = False,  # noqa: FBT002
    trace_id: Annotated[str | None, typer.Option("--id", metavar="PREFIX", help=ID)] = None,
    traffic_class: Annotated[str | None, typer.Option("--class", metavar="NAME", help=CLASS)] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=0, help=LIMIT)] = None,
    as_json: Annotated[bool, typer.Option("--json", help=AS_JSON)] = False,  # noqa: FBT002
) -> None:
    """Show where deadlines were missed, and draw a call from the client to the model and back, stage by stage.

    A call is drawn as a line for each span of its trace and for each stage, with a mark where its deadline is. A span
    from a host whose clock differs is moved to where it fits, and that is said. Lines that can't be read are left out
    and counted.
    """
    from rich.console import Console  # noqa: PLC0415

    from proxy.tracefile.reader import TraceFiles  # noqa: PLC0415

    wanted = Wanted(missed, trace_id, traffic_class, limit)
    with TraceFiles(files) as source:
        collector = _collect(source, Console(stderr=True))
        found = wanted.find(source, collector)
        pictures = _pictures(source, found.drawn)
        if as_json:
            print(_document(source, collector, found, pictures))
        else:
            _show(source, collector, found, pictures, Console(highlight=False))


@dataclass(frozen=True, slots=True)
class Found:
    """What is shown."""

    counted: Sequence[Call]
    """The calls that the summary is of; empty for none."""
    drawn: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The flags that say which calls."""

    missed: bool = False
    trace_id: str | None = None
    traffic_class: str | None = None
    limit: int | None = None

    def find(self, source: TraceFiles, collector: CallCollector) -> Found:
        """Choose from what was read. Raises `TraceFileError` if it is not there."""
        from proxy.tracefile.calls import worst_first  # noqa: PLC0415
        from proxy.tracefile.reader import TraceFileError  # noqa: PLC0415

        where = ", ".join(str(file.path) for file in source.files)
        if not collector.spans:
            raise TraceFileError("\n".join([f"{where}: no spans", *source.notes()]))
        calls = collector.calls()
        if self.trace_id is not None:
            calls = self._of_trace(self.trace_id, where, source, collector, calls)
        if self.traffic_class is not None:
            calls = self._of_class(self.traffic_class, where, calls)
        chosen = [call for call in worst_first(calls) if call.missed or not self.missed]
        limit = self.limit if self.limit is not None else 5 if self.missed else 1
        return Found([] if self.trace_id is not None else calls, chosen[:limit])

    @staticmethod
    def _of_trace(
        prefix: str, where: str, source: TraceFiles, collector: CallCollector, calls: Sequence[Call]
    ) -> list[Call]:
        from proxy.tracefile.calls import call_in  # noqa: PLC0415
        from proxy.tracefile.reader import TraceFileError  # noqa: PLC0415

        traces = collector.traces_beginning(prefix)
        if not traces:
            raise TraceFileError(f"{where}: no trace begins with {prefix}")
        if len(traces) > 1:
            named = ", ".join(traces[:NAMED_IDS]) + (", …" if len(traces) > NAMED_IDS else "")
            raise TraceFileError(f"{where}: {len(traces)} traces begin with {prefix}: {named}")
        if of_trace := [call for call in calls if call.trace_id == traces[0]]:
            return of_trace
        spans = source.spans_of(traces)[traces[0]]
        return [call_in(spans)] if spans else []

    @staticmethod
    def _of_class(name: str, where: str, calls: Sequence[Call]) -> list[Call]:
        from proxy.tracefile.reader import TraceFileError  # noqa: PLC0415

        if of_class := [call for call in calls if call.traffic_class == name]:
            return of_class
        known = ", ".join(sorted({call.traffic_class for call in calls})) or "none"
        raise TraceFileError(f"{where}: no call of class {name}; there are: {known}")


def _collect(source: TraceFiles, console: Console) -> CallCollector:
    from rich.progress import Progress  # noqa: PLC0415

    from proxy.tracefile.calls import CallCollector  # noqa: PLC0415

    collector = CallCollector()
    size_bytes = source.size_bytes
    shown = console.is_terminal and size_bytes >= PROGRESS_FROM_BYTES
    with Progress(console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("reading", total=size_bytes)
        advance = (lambda length: progress.advance(task, length)) if shown else None
        for span in source.spans(advance=advance):
            collector.add(span)
    return collector


def _pictures(source: TraceFiles, calls: Sequence[Call]) -> list[Picture]:
    """Read again for the spans of what is drawn; a call that is gone from its file meanwhile is left out."""
    from proxy.tracefile.tree import picture  # noqa: PLC0415

    if not calls:
        return []
    spans = source.spans_of(list(dict.fromkeys(call.trace_id for call in calls)))
    there = {span.span_id for group in spans.values() for span in group}
    return [picture(call, spans[call.trace_id]) for call in calls if call.span_id in there]


def _show(
    source: TraceFiles, collector: CallCollector, found: Found, pictures: Sequence[Picture], console: Console
) -> None:
    from proxy.tracefile.overview import overview, period  # noqa: PLC0415
    from proxy.tracefile.waterfall import waterfall  # noqa: PLC0415

    paths = ", ".join(str(file.path) for file in source.files)
    calls = found.counted
    told = f", calls from {period(calls)}" if calls else ""
    console.print(f"{paths}: {collector.traces} traces, {collector.spans} spans{told}", markup=False, soft_wrap=True)
    for note in source.notes():
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    if calls:
        console.print()
        console.print(overview(calls))
    for one in pictures:
        console.print()
        console.print(waterfall(one, width=console.width))
    if not calls and not pictures:
        console.print("No call to show.")


def _document(source: TraceFiles, collector: CallCollector, found: Found, pictures: Sequence[Picture]) -> str:
    from proxy.tracefile.document import picture_document, summary_document  # noqa: PLC0415

    document = {
        "files": [str(file.path) for file in source.files],
        "notes": source.notes(),
        "traces": collector.traces,
        "spans": collector.spans,
        **({"summary": summary_document(found.counted)} if found.counted else {}),
        "drawn": [picture_document(one) for one in pictures],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)
