"""What the records say about themselves: keys, kinds, defaults, and the docstrings under the fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from dataclasses import dataclass
from typing import Any

from proxy.config.records import Items, Key, Named, Record
from proxy.config.values import Duration, Kind


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record."""

    key: str
    """As written in the file."""
    attribute: str
    """As called in the record."""
    kind: Kind | Record | Named | Items
    required: bool


def fields_of(record: type[Any]) -> tuple[Field, ...]:
    """The keys of a record, in the order of its fields. Fields without a kind, such as `name`, are no keys."""
    hints = typing.get_type_hints(record, include_extras=True)
    return tuple(
        _field(item, metadata)
        for item in dataclasses.fields(record)
        if (metadata := getattr(hints[item.name], "__metadata__", None))
    )


def _field(item: dataclasses.Field[object], metadata: tuple[Any, ...]) -> Field:
    kind = metadata[0]
    given = next((extra.name for extra in metadata if isinstance(extra, Key)), None)
    key = given or (item.name.removesuffix("_s") if isinstance(kind, Duration) else item.name)
    required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    return Field(key, item.name, kind, required)


def default_of(record: type[Any], attribute: str) -> object:
    """The default of a field that has one."""
    item = next(item for item in dataclasses.fields(record) if item.name == attribute)
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


def docs_of(record: type[Any]) -> dict[str, str]:
    """The docstrings under a record's fields, by the fields' names. They exist in the source only, so it is read."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 -- getsource of a class
    docs: dict[str, str] = {}
    for statement, after in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
        ):
            docs[statement.target.id] = inspect.cleandoc(ast.literal_eval(after.value))
    return docs
