"""`OUT/cells.jsonl`: one line for each finished cell, written at once, so that a run may be interrupted and go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class _AsJson(Protocol):
    def as_json(self) -> dict[str, Any]: ...


class _Cell(_AsJson, Hashable, Protocol):
    pass


C = TypeVar("C", bound=_Cell)


class Journal(Generic[C]):
    """The finished cells of one scenario, by its fingerprint. Lines of other settings stay in the file, unread.

    `cell_of` makes a cell of the keys that its `as_json` wrote.
    """

    def __init__(
        self, file: Path, *, fingerprint: str, cell_of: Callable[[Mapping[str, Any]], C], fresh: bool = False
    ) -> None:
        self._file = file
        self._fingerprint = fingerprint
        self._cell_of = cell_of
        self.entries: dict[C, dict[str, Any]] = {}
        """What is there, the latest where a cell is there twice."""
        self.others = 0
        """Lines of other settings."""
        if fresh:
            file.unlink(missing_ok=True)
        if file.exists():
            self._read()

    def __repr__(self) -> str:
        return f"<Journal {self._file.name} cells={len(self.entries)} others={self.others}>"

    def add(self, cell: C, run: _AsJson, **more: Any) -> None:
        """Keep a finished cell. `more` goes into its line."""
        entry = {"fingerprint": self._fingerprint, **cell.as_json(), **more, **run.as_json()}
        self.entries[cell] = entry
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as kept:
            kept.write(json.dumps(entry) + "\n")

    def _read(self) -> None:
        content = self._file.read_text()
        for line in content.splitlines():
            try:
                entry: Mapping[str, Any] = json.loads(line)
            except ValueError:
                continue  # the end of a line that a full disk or a kill cut off
            if entry.get("fingerprint") == self._fingerprint:
                self.entries[self._cell_of(entry)] = dict(entry)
            else:
                self.others += 1
        if content and not content.endswith("\n"):
            with self._file.open("a") as kept:
                kept.write("\n")
