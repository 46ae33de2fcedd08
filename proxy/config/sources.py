"""Text from the file, the environment and the command line, as one tree whose values know where they were written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

ENVIRONMENT_PREFIX = "HEADWAY_"

NEAR = 0.6
"""Similarity from which `difflib` calls two names close; its own default."""


SHOWN_LETTERS = 60
"""How much of a value a message repeats: enough to find it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written."""

    name: str
    """The file's path as the user gave it, the variable's name, or the flag."""
    line: int | None = None
    """Line in the file, from 1; None outside files."""
    base: Path = Path()
    """The directory that relative paths start from."""
    typed: bool = False
    """Whether the source tells numbers from text. YAML does; variables and flags are all text."""
    given: bool = True
    """Whether the user wrote it; False for what headway brings along itself."""

    def __str__(self) -> str:
        """`FILE:LINE`, or the variable or flag."""
        return self.name if self.line is None else f"{self.name}:{self.line}"


@dataclass(slots=True)
class Node:
    """A value and where it was written. Mappings hold nodes under their keys, sequences hold nodes."""

    value: object
    origin: Origin
    text: str = ""
    """A plain value as it was written, for messages."""


def shown(node: Node) -> str:
    """A value in a message: quoted, and cut where it is long."""
    if isinstance(node.value, (dict, list)):
        return node.text
    return f"'{node.text}'" if len(node.text) <= SHOWN_LETTERS else f"'{node.text[:SHOWN_LETTERS]}…'"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, for one line of output."""

    origin: Origin
    key: str
    """The key's path, joined by dots; empty for the file as a whole."""
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        """`FILE:LINE: key.path: what is wrong; allowed: …`."""
        place = f"{self.origin}: {self.key}: " if self.key else f"{self.origin}: "
        line = f"{place}{self.what}; allowed: {self.allowed}" if self.allowed else f"{place}{self.what}"
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


@dataclass(frozen=True, slots=True)
class Override:
    """One setting from the command line."""

    key: str
    """The key's path, joined by dots."""
    text: str
    flag: str
    """How the user wrote it, for messages."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, or None when none comes near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=NEAR)
    return close[0] if close else None


def unknown_key(origin: Origin, key: str, known: Sequence[str]) -> Problem:
    """The problem of a key that does not exist, with the nearest that does."""
    close = nearest(key.rpartition(".")[2], known)
    hint = f", did you mean '{close}'?" if close else ""
    return Problem(origin, key, f"unknown key{hint}", ", ".join(known))


def read_file(path: Path, problems: list[Problem]) -> Node:
    """Read a YAML file. What is wrong with it goes to `problems`; the tree holds the rest."""
    origin = Origin(str(path), base=path.parent, typed=True)
    empty = Node({}, replace(origin, line=1))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problems.append(Problem(origin, "", f"cannot be read: {error.strerror}"))
        return empty
    except UnicodeDecodeError as error:
        problems.append(
            Problem(origin, "", f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}")
        )
        return empty
    node = read_yaml(text, origin, problems)
    if node is None:
        return empty
    if not isinstance(node.value, dict):
        problems.append(Problem(node.origin, "", "does not hold a mapping", "key: value"))
        return empty
    return node


def read_yaml(text: str, origin: Origin, problems: list[Problem], *, key: str = "") -> Node | None:
    """Read YAML from a file's or a variable's text; None when there is nothing in it."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return None if root is None else _Tree(loader, origin, problems).node(root, key)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark and origin.typed else None
        problems.append(Problem(replace(origin, line=line), key, f"is not valid YAML: {error.problem}"))
    except yaml.YAMLError as error:
        problems.append(Problem(origin, key, f"is not valid YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        problems.append(Problem(origin, key, "is nested too deep"))
    return None


class _Tree:
    """Turns PyYAML's nodes into ours. PyYAML's constructor forgets lines and lets the last of two equal keys win."""

    def __init__(self, loader: yaml.SafeLoader, origin: Origin, problems: list[Problem]) -> None:
        self._loader = loader
        self._origin = origin
        self._problems = problems
        self._open: set[int] = set()
        self._checked: set[int] = set()

    def node(self, source: yaml.Node, key: str, origin: Origin | None = None) -> Node:
        origin = origin or self._at(source)
        if isinstance(source, yaml.ScalarNode):
            return Node(self._scalar(source), origin, text=str(source.value))
        if id(source) in self._open:
            raise yaml.MarkedYAMLError(problem="an anchor holds itself", problem_mark=source.start_mark)
        self._open.add(id(source))
        value: object
        if isinstance(source, yaml.MappingNode):
            value = self._mapping(source, key)
        else:
            value = [self.node(item, f"{key}[{index}]") for index, item in enumerate(source.value)]
        self._open.discard(id(source))
        return Node(value, origin, text="a mapping" if isinstance(value, dict) else "a list")

    def _mapping(self, source: yaml.MappingNode, path: str) -> dict[str, Node]:
        if id(source) not in self._checked:  # an anchored mapping comes by once for each alias
            self._checked.add(id(source))
            self._find_repeated(source, path)
            self._loader.flatten_mapping(
                source
            )  # puts what `<<: *anchor` brings first, so that the mapping's own keys win
        entries: dict[str, Node] = {}
        for key, value in source.value:
            name = _key_text(key)
            entries[name] = self.node(value, _join(path, name), self._at(key))
        return entries

    def _find_repeated(self, source: yaml.MappingNode, path: str) -> None:
        first: dict[str, Origin] = {}
        for key, _ in source.value:
            name = _key_text(key)
            if name == "<<":
                continue
            if name in first:
                what = f"is given twice, first at {first[name]}"
                self._problems.append(Problem(self._at(key), _join(path, name), what))
            else:
                first[name] = self._at(key)

    def _scalar(self, source: yaml.ScalarNode) -> object:
        try:
            value: object = self._loader.construct_object(source)
        except ValueError:  # such as the date 2026-13-40
            return str(source.value)
        return value

    def _at(self, source: yaml.Node) -> Origin:
        return replace(self._origin, line=source.start_mark.line + 1) if self._origin.typed else self._origin


def _key_text(node: yaml.Node) -> str:
    """A key as it was written: `on` and `1` stay text, which YAML 1.1 would make True and a number."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=node.start_mark)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def overlay_environment(
    root: Node, environment: Mapping[str, str], known: Sequence[str], problems: list[Problem]
) -> None:
    """Lay `HEADWAY_…` variables over the tree; `known` has the names of the top level.

    A variable without two underscores that names nothing of the top level is left alone: Kubernetes sets
    `HEADWAY_PORT`, `HEADWAY_SERVICE_HOST` and the like for a service called headway.
    """
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or not environment[name]:
            continue
        path = name.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if len(path) == 1 and path[0].lower() not in known:
            continue
        names = [part.lower() for part in path]
        _set(root, names, environment[name], Origin(name, base=Path.cwd()), problems)


def overlay_flags(root: Node, overrides: Sequence[Override], problems: list[Problem]) -> None:
    """Lay settings from the command line over the tree, in their order."""
    for override in overrides:
        _set(root, override.key.split("."), override.text, Origin(override.flag, base=Path.cwd()), problems)


def _set(root: Node, path: Sequence[str], text: str, origin: Origin, problems: list[Problem]) -> None:
    node = root
    names: list[str] = []
    for position, part in enumerate(path):
        if not isinstance(node.value, dict):
            what = f"cannot be set: {'.'.join(names)} is not a mapping at {node.origin}"
            problems.append(Problem(origin, ".".join([*names, *path[position:]]), what))
            return
        name = _same_name(part, node.value)
        names.append(name)
        last = position == len(path) - 1
        if last:
            node.value[name] = Node(text, origin, text=text)
            return
        child = node.value.get(name)
        if child is None or child.value is None:
            child = Node({}, origin, text="a mapping")
            node.value[name] = child
        node = child


def _same_name(part: str, known: Iterable[str]) -> str:
    """The key there that a part of a path means, itself when none is: `-` and `.` count as `_`, capitals as small."""
    if part in known:
        return part
    wanted = _plain(part)
    return next((name for name in known if _plain(name) == wanted), part)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())
