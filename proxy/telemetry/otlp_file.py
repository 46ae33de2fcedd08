"""Spans as a file of OTLP JSON lines: what a collector's file exporter writes, and what Jaeger's UI opens.

Each line is one `TracesData` message (`otlp_json`). Proxy and daemon may share a file: a line is one write to a file
opened for appending, which the kernel keeps in one piece.

A file that can't be written loses spans and nothing else: the trouble is logged once, and the queue counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from proxy.telemetry.otlp_json import OtlpJson
from proxy.telemetry.span_record import Origin, SpanRecord

logger = logging.getLogger(__name__)

FILE_LIMIT_BYTES = 256 << 20
"""Size at which the file becomes `<file>.1`, in place of an earlier one: about 250 000 spans."""


class OtlpFile:
    """A `SpanSink` that appends to `path`. Used by one thread."""

    def __init__(self, path: str | Path, origin: Origin, *, limit_bytes: int = FILE_LIMIT_BYTES) -> None:
        self._path = Path(path)
        self._encoding = OtlpJson(origin)
        self._limit_bytes = limit_bytes
        self._fd: int | None = None
        self._torn = False
        self._failing = False

    def __repr__(self) -> str:
        return f"<OtlpFile {self._path}{' failing' if self._failing else ''}>"

    def encode(self, spans: Sequence[SpanRecord]) -> bytes:
        """One line."""
        return self._encoding.line(spans)

    def export(self, blocks: Sequence[bytes]) -> bool:
        """Append lines, by one write."""
        try:
            self._append(b"".join(blocks))
        except OSError as error:
            if not self._failing:
                logger.warning("Spans are lost until %s can be written again: %s", self._path, error.strerror or error)
            self._failing = True
            return False
        self._failing = False
        return True

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, lines: bytes) -> None:
        fd = self._current_file()
        # What a full disk cut short ends here, so that only that line is unreadable.
        data = b"\n" + lines if self._torn else lines
        written = os.write(fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def _current_file(self) -> int:
        """The file now at the path: another process, or a log rotation, may have moved the one that is open."""
        if self._fd is not None and not self._is_at_path(self._fd):
            self.close()
        if self._fd is None:
            self._fd = self._open()
        if os.fstat(self._fd).st_size >= self._limit_bytes:
            self._rotate(self._fd)
            self.close()
            self._fd = self._open()
        return self._fd

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _rotate(self, fd: int) -> None:
        with _locked(fd):
            # Whoever waited for the lock finds that it has been done.
            if self._is_at_path(fd):
                self._path.replace(self._path.with_name(self._path.name + ".1"))

    def _is_at_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def _locked(fd: int) -> Iterator[None]:
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
