"""One mapping of a workload file: unknown keys and wrong kinds are refused by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any


class WorkloadError(Exception):
    """The file can't be used. The text names the file, the key and what is allowed."""


class Keys:
    """The keys of the mapping at `where` in `file`; every method raises `WorkloadError`."""

    def __init__(self, content: object, file: Path, where: str, allowed: Collection[str] | None) -> None:
        self.file = file
        self.where = where
        if not isinstance(content, Mapping):
            raise self.error("", f"{content!r} is not a mapping{_listed('with the keys', allowed)}")
        self._content = content
        for key in content:
            if allowed is not None and key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(allowed))}"
                raise self.error(str(key), f"unknown key; {hint}")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[Any]:
        return iter(self._content)

    def get(self, key: str, default: object = None) -> Any:
        """The value as it stands there."""
        return self._content.get(key, default)

    def inside(self, key: str, allowed: Collection[str] | None) -> Keys:
        """The mapping under a key."""
        return Keys(self._required(key), self.file, self._name(key), allowed)

    def items(self, key: str) -> list[tuple[str, object]]:
        """The entries of a list, each with its name for messages; empty where the key is left out."""
        value = self.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, f"{value!r} is not a list")
        return [(f"{self._name(key)}[{place}]", item) for place, item in enumerate(value)]

    def number(
        self, key: str, default: float | None = None, *, above: float | None = None, at_least: float | None = None
    ) -> float:
        """A number; required without a default."""
        value = self._required(key) if default is None else self.get(key, default)
        return self.as_number(key, value, above=above, at_least=at_least)

    def whole(self, key: str, default: int, *, at_least: int) -> int:
        """A whole number."""
        return self._whole(key, self.get(key, default), at_least)

    def numbers(self, key: str, *, above: float | None = None, at_least: float | None = None) -> tuple[float, ...]:
        """A list of numbers, at least one."""
        value = self._required(key)
        if not isinstance(value, list) or not value:
            raise self.error(key, f"{value!r} is not a list of numbers")
        return tuple(self.as_number(key, item, above=above, at_least=at_least) for item in value)

    def span(self, key: str, *, above: float) -> tuple[float, float]:
        """`[low, high]`."""
        numbers = self.numbers(key, above=above)
        if len(numbers) != 2 or numbers[0] > numbers[1]:  # noqa: PLR2004 - low and high
            raise self.error(key, f"{list(numbers)} is not [low, high]")
        return numbers[0], numbers[1]

    def word(self, key: str, default: str | None = None, allowed: Collection[str] | None = None) -> str:
        """A word, of those allowed; required without a default."""
        value = self._required(key) if default is None else self.get(key, default)
        if not isinstance(value, str) or not value or (allowed is not None and value not in allowed):
            near = difflib.get_close_matches(str(value), allowed or (), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise self.error(key, f"{value!r} is not a name{_listed('of', allowed)}{hint}")
        return value

    def table(self, key: str) -> tuple[tuple[int, float], ...]:
        """A mapping from whole numbers to numbers above 0, in ascending order."""
        value = self._required(key)
        if not isinstance(value, Mapping) or not value:
            raise self.error(key, f"{value!r} is not a mapping from sizes to seconds, such as {{1: 0.05, 8: 0.1}}")
        return tuple(
            sorted((self._whole(key, size, 1), self.as_number(key, s, above=0.0)) for size, s in value.items())
        )

    def path(self, key: str) -> Path:
        """A file, beside this one unless absolute."""
        return self.file.parent / self.word(key)

    def error(self, key: str, what: str) -> WorkloadError:
        """An error about a key, to be raised."""
        name = self._name(key)
        return WorkloadError(f"{self.file}: {name}: {what}" if name else f"{self.file}: {what}")

    def as_number(self, key: str, value: object, *, above: float | None = None, at_least: float | None = None) -> float:
        """A value from below the key as a number."""
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            fits = (above is None or value > above) and (at_least is None or value >= at_least)
            if fits:
                return float(value)
        limit = (
            f" above {above:g}" if above is not None else f" of at least {at_least:g}" if at_least is not None else ""
        )
        raise self.error(key, f"{value!r} is not a number{limit}")

    def _whole(self, key: str, value: object, at_least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self.error(key, f"{value!r} is not a whole number of at least {at_least}")
        return value

    def _required(self, key: str) -> object:
        if key not in self._content:
            raise self.error(key, "missing")
        return self._content[key]

    def _name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where and key else key or self.where


def _listed(word: str, allowed: Collection[str] | None) -> str:
    return f" {word} {', '.join(sorted(allowed))}" if allowed else ""
