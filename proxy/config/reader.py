"""The tree of nodes → records, with a line for each thing wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from proxy.config.fields import Field, default_of, fields_of
from proxy.config.records import Items, Named, Record
from proxy.config.sources import Node, Origin, Problem, read_yaml, shown, unknown_key
from proxy.config.values import Available, File, Kind, Name, Refused, Registered

R = TypeVar("R")

_KEYS = "key: value"

_BROKEN: Any = object()
"""Stands in a record for a value that could not be read. No record that holds one leaves `load`."""


@dataclass(slots=True)
class Reader:
    """Reads records and remembers what was wrong and where everything came from."""

    available: Available
    files_of: frozenset[str]
    """The sections whose files must exist on this machine."""
    problems: list[Problem] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    """Keys that were given and that nothing in this version acts on."""

    def record(self, record: type[R], node: Node, key: str = "", name: str | None = None) -> R:
        """A record from a mapping. Where a value can't be read there is a problem under its key, see `fine`."""
        entries = self._mapping(node, key)
        known = fields_of(record)
        keys = [item.key for item in known]
        self.problems.extend(
            unknown_key(entry.origin, _join(key, entry_key), keys)
            for entry_key, entry in entries.items()
            if entry_key not in keys
        )
        values: dict[str, object] = {} if name is None else {"name": name}
        for item in known:
            values[item.attribute] = self._field(record, item, entries.get(item.key), _join(key, item.key), node)
        return record(**values)

    def fine(self, *keys: str, inside: bool = True) -> bool:
        """Whether nothing is wrong with these keys' values, with what holds them and, `inside`, with what they hold."""
        return not any(
            problem.key == key or _holds(problem.key, key) or (inside and _holds(key, problem.key))
            for problem in self.problems
            for key in keys
        )

    def refuse(self, key: str, what: str, allowed: str = "") -> None:
        """Note a problem with a value that was read."""
        parent = key
        while parent not in self.origins:
            parent = parent.rpartition(".")[0]
        self.problems.append(Problem(self.origins[parent], key, what, allowed))

    def _field(self, record: type, item: Field, node: Node | None, key: str, holder: Node) -> object:
        if node is None or node.value is None:
            if not item.required:
                return default_of(record, item.attribute)
            if self.fine(key):  # a holder that is no mapping has its line already
                origin = node.origin if node else holder.origin
                self.problems.append(Problem(origin, key, "is missing", self._allowed(item.kind)))
            return _BROKEN
        return self._value(item.kind, node, key)

    def _value(self, kind: Kind | Record | Named | Items, node: Node, key: str) -> object:
        self.origins[key] = node.origin
        if isinstance(kind, Record):
            return self.record(kind.record, node, key)
        if isinstance(kind, Named):
            return self._named(kind, node, key)
        if isinstance(kind, Items):
            return self._items(kind, node, key)
        try:
            value = kind.read(node, self.available)
        except Refused as refused:
            self.problems.append(Problem(node.origin, key, refused.what, refused.allowed or kind.allowed))
            return _BROKEN
        if isinstance(kind, File) and kind.must_exist and key.partition(".")[0] in self.files_of:
            self._open(value, node, key, kind)
        return value

    def _open(self, path: Any, node: Node, key: str, kind: File) -> None:
        what = ""
        try:
            if path.is_dir():
                what = "is a directory"
            else:
                path.open("rb").close()
        except OSError as error:
            what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        if what:
            shown = f"'{node.text}'" if str(path) == node.text else f"'{node.text}' ({path})"
            self.problems.append(Problem(node.origin, key, f"{shown} {what}", kind.allowed))

    def _named(self, kind: Named, node: Node, key: str) -> Mapping[str, object]:
        entries = self._mapping(node, key)
        records: dict[str, object] = {}
        for name, entry in entries.items():
            path = _join(key, name)
            try:
                Name().read(Node(name, entry.origin, text=name), self.available)
            except Refused as refused:
                self.problems.append(Problem(entry.origin, path, f"{refused.what} of a {kind.noun}", Name().allowed))
                continue
            self.origins[path] = entry.origin
            records[name] = self.record(kind.record, entry, path, name)
        if len(entries) < kind.at_least and self.fine(key):
            self.problems.append(Problem(node.origin, key, f"names no {kind.noun}", self._allowed(kind)))
        return MappingProxyType(records)

    def _items(self, kind: Items, node: Node, key: str) -> tuple[object, ...]:
        node = self._structure(node, key, plain=not isinstance(kind.item, Record))
        if not isinstance(node.value, list):
            if self.fine(key):
                self.problems.append(Problem(node.origin, key, f"{shown(node)} is not a list", self._allowed(kind)))
            return ()
        if len(node.value) < kind.at_least:
            self.problems.append(Problem(node.origin, key, "is empty", self._allowed(kind)))
        return tuple(self._item(kind.item, item, f"{key}[{index}]") for index, item in enumerate(node.value))

    def _item(self, kind: Kind | Record, node: Node, key: str) -> object:
        if node.value is None:
            self.problems.append(Problem(node.origin, key, "is empty", self._allowed(kind)))
            return _BROKEN
        return self._value(kind, node, key)

    def _mapping(self, node: Node, key: str) -> dict[str, Node]:
        node = self._structure(node, key, plain=False)
        if isinstance(node.value, dict):
            return node.value
        if node.value is not None and self.fine(key):
            self.problems.append(Problem(node.origin, key, f"{shown(node)} is not a mapping", _KEYS))
        return {}

    def _structure(self, node: Node, key: str, *, plain: bool) -> Node:
        """A mapping or list that came as one text in a variable or flag, taken apart."""
        if node.origin.typed or not isinstance(node.value, str):
            return node
        if plain:
            parts = [part.strip() for part in node.value.split(",")]
            return Node([Node(part, node.origin, text=part) for part in parts if part], node.origin, text=node.text)
        return read_yaml(node.value, node.origin, self.problems, key=key) or Node(None, node.origin)

    def _allowed(self, kind: Kind | Record | Named | Items) -> str:
        if isinstance(kind, Items):
            return f"a list, each {self._allowed(kind.item)}"
        if isinstance(kind, (Record, Named)):
            keys = ", ".join(
                f"{item.key}: …" if item.required else f"[{item.key}: …]" for item in fields_of(kind.record)
            )
            return f"{{{keys}}}" if isinstance(kind, Record) else f"{{<{kind.noun}>: {{{keys}}}}}"
        return kind.listed(self.available) if isinstance(kind, Registered) else kind.allowed


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _holds(outer: str, inner: str) -> bool:
    return not outer or inner.startswith((f"{outer}.", f"{outer}["))
