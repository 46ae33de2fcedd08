"""What a client's metadata say of its call: traffic class and deadline.

`x-traffic-class` names the class, `x-deadline-ms` replaces the class's deadline. The names that llm-d's gateway uses
are understood too: `x-llm-d-inference-objective` for the class, `x-llm-d-slo-ttft-ms` (older `x-slo-ttft-ms`) and
`x-llm-d-inference-ttl` for deadlines. Of several deadlines the shortest counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.traffic import NO_DEADLINE, TrafficClass, call_deadline
from proxy.errors import CallError, Code
from proxy.tunnel.exchange import CallHead

CLASS_KEYS = ("x-traffic-class", "x-llm-d-inference-objective")
DEADLINE_KEYS = ("x-deadline-ms", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "x-llm-d-inference-ttl")
_WANTED = frozenset(CLASS_KEYS + DEADLINE_KEYS)


@dataclass(frozen=True, slots=True)
class ClassifySettings:
    """The classes and what to do with a name that is none of them."""

    classes: Mapping[str, TrafficClass]
    default_class: str
    unknown_class: Literal["default", "reject"] = "default"


class Classified(NamedTuple):
    """A call whose class and deadline are settled."""

    head: CallHead
    traffic_class: TrafficClass
    unknown_class: str = ""
    """The name that the client gave, where no class has it."""


class Classifier:
    """Reads class and deadline."""

    def __init__(self, settings: ClassifySettings) -> None:
        self._settings = settings
        self._default = settings.classes[settings.default_class]

    def __repr__(self) -> str:
        return f"<Classifier {','.join(self._settings.classes)} default={self._default.name}>"

    def classify(self, head: CallHead) -> Classified:
        """Settle a call that has just arrived; `head.deadline.limit_at` is its gRPC deadline.

        Raises `CallError`: INVALID_ARGUMENT for a deadline that is no number of milliseconds, or for an unknown class
        where those are rejected; DEADLINE_EXCEEDED for one that has passed.
        """
        wanted = [(key, value) for key, value in head.metadata if key in _WANTED]
        asked_s = _asked_deadline(wanted) if wanted else None
        traffic_class, unknown = self._class_of(wanted) if wanted else (self._default, "")
        now = head.accepted_at
        limit_at = head.deadline.limit_at
        limit_s = None if limit_at == NO_DEADLINE else limit_at - now
        if limit_s is not None and limit_s <= 0:
            raise CallError(
                Code.DEADLINE_EXCEEDED,
                "the deadline had passed when the call arrived",
                reason="rejected-deadline-expired",
            )
        deadline = call_deadline(traffic_class, now=now, asked_s=asked_s, limit_s=limit_s)
        settled = CallHead(
            path=head.path,
            metadata=head.metadata,
            traffic_class=traffic_class.name,
            deadline=deadline,
            peer=head.peer,
            accepted_at=now,
            unary=head.unary,
        )
        return Classified(settled, traffic_class, unknown)

    def _class_of(self, wanted: list[tuple[str, str | bytes]]) -> tuple[TrafficClass, str]:
        classes = self._settings.classes
        for key in CLASS_KEYS:
            for name in (value for wanted_key, value in wanted if wanted_key == key):
                if name in classes:
                    return classes[str(name)], ""
                if self._settings.unknown_class == "reject":
                    known = ", ".join(classes)
                    raise CallError(
                        Code.INVALID_ARGUMENT, f"{key}: {str(name)[:64]!r} is no traffic class; known: {known}"
                    )
                return self._default, str(name)[:64]
        return self._default, ""


def _asked_deadline(wanted: list[tuple[str, str | bytes]]) -> float | None:
    """Seconds, the shortest of all that were asked for."""
    asked_s: float | None = None
    for key, value in wanted:
        if key not in DEADLINE_KEYS:
            continue
        try:
            milliseconds = float(value)
        except ValueError:
            milliseconds = math.nan
        if not math.isfinite(milliseconds):
            raise CallError(
                Code.INVALID_ARGUMENT, f"{key}: {str(value)[:64]!r} is not a positive number of milliseconds"
            )
        if milliseconds <= 0:
            raise CallError(
                Code.DEADLINE_EXCEEDED, f"{key}: {value!r} has passed already", reason="rejected-deadline-expired"
            )
        asked_s = milliseconds / 1e3 if asked_s is None else min(asked_s, milliseconds / 1e3)
    return asked_s
