"""The scenario of `overhead`: YAML file → record, unknown keys and wrong kinds refused."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parent / "scenarios"


class ScenarioError(Exception):
    """The file can't be used. The text names the file, the key and what is allowed."""


@dataclass(frozen=True, slots=True)
class OverheadScenario:
    """What `overhead` measures, and how long."""

    name: str = "overhead"
    seed: int = 1
    """Draws the bodies and the order of the paths within each round."""
    peers: tuple[str, ...] = ("direct", "hop", "envoy-h3", "headway-quic", "headway-tcp")
    """The paths, by their names in `peers`. Comparisons need `direct` and `hop`."""
    bodies: tuple[int, ...] = (128, 8192, 102400)
    """Sizes of a request's raw input, in bytes. The answer is as long."""
    concurrency: tuple[int, ...] = (1, 16, 64)
    """Callers in a closed loop."""
    idle_streams: tuple[int, ...] = (0,)
    """Other streams that are open on the path meanwhile."""
    seconds: float = 2.0
    """One cell of one path in one round."""
    warm_up: float = 0.3
    """Seconds of the same load before each."""
    rounds: int = 5
    headway: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the configuration file of headway's proxy and daemon."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for headway's proxy and daemon."""
    quick: Mapping[str, Any] = field(default_factory=dict)
    """The keys that `--quick` replaces."""

    def quickened(self) -> OverheadScenario:
        """The same with what `quick` replaces."""
        return replace(self, **_values(self.quick, "quick"), quick={})

    def with_values(self, values: Mapping[str, Any]) -> OverheadScenario:
        """The same with these keys. Raises `ScenarioError`."""
        return replace(self, **_values(values, "the command line"))

    def as_json(self) -> dict[str, Any]:
        """All settings, for the results."""
        return asdict(self)


def read_scenario(path: Path) -> OverheadScenario:
    """Read a file. Raises `ScenarioError`."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    try:
        scenario = OverheadScenario(**_values(content, ""))
        scenario.quickened()
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error
    return scenario


_WHOLE = "a whole number"
_NAMES = "a list of names"
_NUMBERS = "a list of whole numbers, each at least 1"
_COUNTS = "a list of whole numbers, each at least 0"
_SECONDS = "a number of seconds above 0"
_MAPPING = "a mapping"

_ALLOWED = {
    "name": "a name",
    "seed": _WHOLE,
    "peers": _NAMES,
    "bodies": _COUNTS,
    "concurrency": _NUMBERS,
    "idle_streams": _COUNTS,
    "seconds": _SECONDS,
    "warm_up": _SECONDS,
    "rounds": "a whole number, at least 1",
    "headway": _MAPPING,
    "environment": _MAPPING,
    "quick": "a mapping of the other keys",
}


def _values(content: object, where: str) -> dict[str, Any]:
    """The keys of a mapping, checked, lists as tuples."""
    prefix = f"{where}." if where else ""
    if not isinstance(content, Mapping):
        raise ScenarioError(f"{where or 'the file'} is no mapping; allowed: {', '.join(_ALLOWED)}")
    known = {item.name for item in fields(OverheadScenario)} - ({"quick"} if where else set())
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(known))}"
            raise ScenarioError(f"{prefix}{key} is unknown; {hint}")
        if not _fits(key, value):
            raise ScenarioError(f"{prefix}{key}: {value!r} is not {_ALLOWED[key]}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return values


def _fits(key: str, value: object) -> bool:
    allowed = _ALLOWED[key]
    if allowed in (_NAMES, _NUMBERS, _COUNTS):
        if not isinstance(value, list) or not value:
            return False
        if allowed == _NAMES:
            return all(isinstance(item, str) for item in value)
        least = 0 if allowed == _COUNTS else 1
        return all(_is_whole(item) and item >= least for item in value)
    if allowed == _SECONDS:
        return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if key in ("seed", "rounds"):
        return _is_whole(value) and (key == "seed" or int(str(value)) >= 1)
    return isinstance(value, str if key == "name" else Mapping)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
