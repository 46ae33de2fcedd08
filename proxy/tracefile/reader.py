"""Reads files of OTLP JSON lines, while other processes go on writing them.

A file is read from its start for each question and stays open in between, so that it is the same one even if its
writer renames it. What can't be read is left out and counted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from proxy.errors import HeadwayError
from proxy.tracefile.spans import LineError, OtherSignalError, Span, parse_line

NAMED_LINES = 3
"""Unreadable lines that are named; of more there is the number."""


class TraceFileError(HeadwayError):
    """A file can't be read, or has not got what was asked for."""


@dataclass(slots=True)
class Account:
    """What was in a file at its latest reading."""

    lines: int = 0
    spans: int = 0
    other: int = 0
    """Lines of metrics or logs."""
    unreadable: int = 0
    unfinished: bool = False
    """The last line is being written, or its writer was stopped over it."""
    reasons: list[str] = field(default_factory=list)
    """For the first unreadable lines: FILE:LINE and what is wrong."""

    def left_out(self, path: Path) -> list[str]:
        """A line for each thing that was not read."""
        texts = []
        if self.unreadable:
            more = self.unreadable - len(self.reasons)
            named = "; ".join(self.reasons) + (f"; and {more} more" if more else "")
            texts.append(f"{_count(self.unreadable, 'unreadable line')} left out: {named}")
        if self.other:
            texts.append(f"{path}: {_count(self.other, 'line')} of metrics or logs left out")
        if self.unfinished:
            texts.append(f"{path}: the last line is incomplete and left out")
        return texts


class TraceFile:
    """One open file. Raises `TraceFileError` if it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.account = Account()
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise TraceFileError(f"{path} cannot be read: {error.strerror or error}") from None
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.close()
            raise TraceFileError(f"{path} is no regular file, and it has to be read more than once")

    def __repr__(self) -> str:
        return f"<TraceFile {self.path} {self.account.spans} spans in {self.account.lines} lines>"

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """Its length now."""
        return os.fstat(self._file.fileno()).st_size

    def spans(self, *, advance: Callable[[int], None] | None = None) -> Iterator[Span]:
        """All spans in the file's order, taking account. `advance` is told the bytes of each line."""
        account = self.account = Account()
        self._file.seek(0)
        for line in self._file:
            account.lines += 1
            try:
                for span in parse_line(line):
                    account.spans += 1
                    yield span
            except OtherSignalError:
                account.other += 1
            except LineError as error:
                if not line.strip():
                    continue
                if not line.endswith(b"\n"):
                    account.unfinished = True
                    return  # what its writer adds meanwhile is not the start of a line
                account.unreadable += 1
                if len(account.reasons) < NAMED_LINES:
                    account.reasons.append(f"{self.path}:{account.lines}: {error}")
            if advance is not None:
                advance(len(line))

    def spans_of(self, trace_ids: Sequence[str]) -> Iterator[Span]:
        """The spans of a few traces."""
        wanted = frozenset(trace_ids)
        marks = [mark.encode() for trace_id in trace_ids for mark in (trace_id, trace_id.upper())]
        self._file.seek(0)
        for line in self._file:
            if any(mark in line for mark in marks):
                try:
                    yield from (span for span in parse_line(line) if span.trace_id in wanted)
                except LineError:  # counted when all was read
                    continue


class TraceFiles:
    """Several files as one: a proxy's and a daemon's, or a rotated one and its successor."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files: list[TraceFile] = []
        try:
            for path in dict.fromkeys(paths):
                self.files.append(TraceFile(path))
        except TraceFileError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all."""
        for file in self.files:
            file.close()

    @property
    def size_bytes(self) -> int:
        """Together."""
        return sum(file.size_bytes for file in self.files)

    def spans(self, *, advance: Callable[[int], None] | None = None) -> Iterator[Span]:
        """All spans, file after file."""
        for file in self.files:
            yield from file.spans(advance=advance)

    def spans_of(self, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        """The spans of a few traces, each span once however often it was written."""
        found: dict[str, dict[str, Span]] = {trace_id: {} for trace_id in trace_ids}
        for file in self.files:
            for span in file.spans_of(trace_ids):
                found[span.trace_id].setdefault(span.span_id, span)
        return {trace_id: list(spans.values()) for trace_id, spans in found.items()}

    def notes(self) -> list[str]:
        """What was left out of which file, and where there may be more."""
        paths = [file.path for file in self.files]
        notes = [text for file in self.files for text in file.account.left_out(file.path)]
        for path in paths:
            earlier = path.with_name(path.name + ".1")
            if earlier not in paths and earlier.exists():
                notes.append(f"{earlier} has earlier spans: name it too to read both")
        return notes


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"
