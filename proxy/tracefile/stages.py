"""The stages of a call, as the proxy's span names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern

from proxy.telemetry.names import STAGE_MS
from proxy.telemetry.stages import STAGES, TOKEN
from proxy.tracefile.spans import Value

_PREFIX, _, _SUFFIX = STAGE_MS.partition("{}")
_RANKS = {name: rank for rank, name in enumerate(STAGES)}


def in_order(stages: Iterable[str]) -> list[str]:
    """As they follow each other; those of another version behind, as they came."""
    return sorted(stages, key=lambda name: _RANKS.get(name, len(_RANKS)))


def stages_of(attributes: Mapping[str, Value]) -> dict[str, float]:
    """Milliseconds in each stage, in order."""
    found = {
        intern(key[len(_PREFIX) : -len(_SUFFIX)]): float(value)
        for key, value in attributes.items()
        if key.startswith(_PREFIX) and key.endswith(_SUFFIX) and isinstance(value, (int, float))
    }
    return {name: found[name] for name in in_order(found)}


def label(stage: str) -> str:
    """A stage's name as it is shown."""
    return "later message" if stage == TOKEN else stage.replace("_", " ")
