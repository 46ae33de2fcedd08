"""One mapping of a scenario file: unknown keys and wrong kinds are refused by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ops.bench.headway import merged
from ops.bench.scenario import ScenarioError

Scenario = TypeVar("Scenario")


class Keys:
    """The keys of the mapping at `where`, which is empty for the whole file. Every method raises `ScenarioError`."""

    def __init__(self, content: object, where: str, allowed: Collection[str] | None = None) -> None:
        if not isinstance(content, Mapping):
            raise ScenarioError(f"{where or 'the file'}: {content!r} is not a mapping")
        self._content = content
        self._where = where
        for key in content:
            if allowed is not None and key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(allowed))}"
                raise ScenarioError(f"{self._name(str(key))} is unknown; {hint}")

    def __iter__(self) -> Any:
        return iter(self._content)

    def get(self, key: str, default: object) -> Any:
        """The value as it stands there."""
        return self._content.get(key, default)

    def inside(self, key: str, allowed: Collection[str] | None, default: object = None) -> Keys:
        """The mapping under a key."""
        return Keys(self._content.get(key, default), self._name(key), allowed)

    def number(self, key: str, default: float, *, above: float | None = None, at_least: float | None = None) -> float:
        """A number."""
        return self._number(self._name(key), self.get(key, default), above, at_least)

    def numbers(self, key: str, default: Collection[float], *, above: float) -> tuple[float, ...]:
        """One number or a list of them."""
        value = self.get(key, default)
        items = value if isinstance(value, list | tuple) else [value]
        if not items:
            raise ScenarioError(f"{self._name(key)} is empty")
        return tuple(self._number(self._name(key), item, above, None) for item in items)

    def whole(self, key: str, default: int, *, at_least: int) -> int:
        """A whole number."""
        return self._whole(key, self.get(key, default), at_least)

    def wholes(self, key: str, default: Collection[int], *, at_least: int) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self.get(key, default)
        if not isinstance(value, list | tuple) or not value:
            raise ScenarioError(f"{self._name(key)}: {value!r} is not a list of whole numbers")
        return tuple(self._whole(key, item, at_least) for item in value)

    def word(self, key: str, default: str, allowed: Collection[str] | None = None) -> str:
        """A word, of those allowed."""
        return self._word(key, self.get(key, default), allowed)

    def words(self, key: str, default: Collection[str], allowed: Collection[str]) -> tuple[str, ...]:
        """A list of words, of those allowed, each once."""
        value = self.get(key, default)
        if not isinstance(value, list | tuple) or not value:
            raise ScenarioError(f"{self._name(key)}: {value!r} is not a list; allowed in it: {', '.join(allowed)}")
        return tuple(dict.fromkeys(self._word(key, item, allowed) for item in value))

    def texts(self, key: str) -> dict[str, str]:
        """A mapping of texts to texts, empty where it is left out."""
        return {str(name): str(text) for name, text in self.mapping(key).items()}

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping of any kind, empty where it is left out."""
        value = self.get(key, {})
        if not isinstance(value, Mapping):
            raise ScenarioError(f"{self._name(key)}: {value!r} is not a mapping")
        return dict(value)

    def error(self, key: str, what: str) -> ScenarioError:
        """An error about a key, to be raised."""
        return ScenarioError(f"{self._name(key)}: {what}")

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    @staticmethod
    def _number(name: str, value: object, above: float | None, at_least: float | None) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            fits = (above is None or value > above) and (at_least is None or value >= at_least)
            if fits:
                return float(value)
        limits = {" above": above, " of at least": at_least}
        limit = "".join(f"{words} {edge:g}" for words, edge in limits.items() if edge is not None)
        raise ScenarioError(f"{name}: {value!r} is not a number{limit}")

    def _whole(self, key: str, value: object, at_least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ScenarioError(f"{self._name(key)}: {value!r} is not a whole number of at least {at_least}")
        return value

    def _word(self, key: str, value: object, allowed: Collection[str] | None) -> str:
        if not isinstance(value, str) or not value or (allowed is not None and value not in allowed):
            known = f" of {', '.join(allowed)}" if allowed is not None else ""
            raise ScenarioError(f"{self._name(key)}: {value!r} is not a name{known}")
        return value


def read_file(
    path: Path,
    allowed: Collection[str],
    parse: Callable[[Mapping[str, Any]], Scenario],
    *,
    quick: bool = False,
    over: Mapping[str, Any] | None = None,
) -> Scenario:
    """What `parse` makes of a file, with its `quick` keys and then those of `over` laid on it.

    Raises `ScenarioError`.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    try:
        replaced = Keys(content, "", allowed).mapping("quick")
        Keys(replaced, "quick", [key for key in allowed if key != "quick"])
        source = {key: value for key, value in content.items() if key != "quick"}
        if quick:
            source = merged(source, replaced)
        return parse(merged(source, over or {}))
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error
