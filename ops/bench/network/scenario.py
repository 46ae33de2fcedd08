"""The scenario of `network`: YAML file → record."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ops.bench.keys import Keys, read_file
from ops.bench.scenario import ScenarioError
from ops.link import LinkError, LinkSettings, parse_link
from ops.link.settings import as_json
from policies.scheduling.registry import SCHEDULERS as PRESENT_SCHEDULERS
from policies.traffic import Level, TrafficClass
from proxy.config.records import CONGESTION_CONTROLS, SCHEDULERS

TRANSPORTS = ("quic", "tcp")
KINDS = ("poisson", "burst", "trace")

GIVE_UP_S = 60.0
"""How long a request may take at most: of the poster's requests at twice the link's rate, a sender whose window
collapses (reno at 2 % loss and 100 ms: about 1 Mbit/s by Mathis et al., 1997) needs some 30 s to send them all."""

_TOP = (
    *("name", "classes", "link", "arrivals", "requests", "seeds", "cells"),
    *("give_up", "headway", "environment", "quick"),
)
_CLASS = ("size", "deadline", "weight", "priority", "level", "share")


@dataclass(frozen=True, slots=True)
class RequestClass:
    """Requests of one kind."""

    name: str
    size_bytes: int
    """Of a request's body; the answer is as long."""
    deadline_s: float
    weight: float
    priority: int
    level: Level
    share: float
    """Of all requests, in proportion to the other classes' shares."""

    def traffic_class(self) -> TrafficClass:
        """The class as headway has it."""
        return TrafficClass(self.name, self.deadline_s, priority=self.priority, level=self.level, weight=self.weight)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A line of a trace."""

    at_s: float
    traffic_class: str | None
    """None: drawn, as for other arrivals."""


@dataclass(frozen=True, slots=True)
class NetworkScenario:
    """What `network` measures."""

    name: str
    classes: Mapping[str, RequestClass]
    link: LinkSettings
    kind: str
    """Of the arrivals: poisson, burst (all at once) or trace."""
    loads: tuple[float | None, ...]
    """Offered bits of one direction over the link's rate; None alone where the arrivals have no such setting."""
    trace: tuple[Arrival, ...]
    requests: int
    seeds: tuple[int, ...]
    transports: tuple[str, ...]
    schedulers: tuple[str, ...]
    congestion_controls: tuple[str, ...]
    give_up_s: float
    headway: Mapping[str, Any]
    """Laid on the configuration file of headway's proxy and daemon."""
    environment: Mapping[str, str]
    """Variables for headway's proxy and daemon."""
    source: Mapping[str, Any]
    """The file's keys, after what `quick` and the command line replaced."""

    @property
    def mean_size_bytes(self) -> float:
        """Of a request, by the shares."""
        total = sum(item.share for item in self.classes.values())
        return sum(item.share * item.size_bytes for item in self.classes.values()) / total

    def fingerprint(self, link_mode: str) -> str:
        """Equal for runs whose cells may stand in one result: all settings are equal that a cell does not name."""
        source = {
            "classes": [asdict(item) for item in self.classes.values()],
            "link": as_json(self.link),
            "kind": self.kind,
            "trace": [(item.at_s, item.traffic_class) for item in self.trace],
            "requests": self.requests,
            "give_up": self.give_up_s,
            "headway": self.headway,
            "environment": self.environment,
            "link_mode": link_mode,
        }
        return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_scenario(path: Path, *, quick: bool = False, over: Mapping[str, Any] | None = None) -> NetworkScenario:
    """Read a file, with its `quick` keys and then those of `over` laid on it. Raises `ScenarioError`."""
    return read_file(path, _TOP, lambda source: parse_scenario(source, directory=path.parent), quick=quick, over=over)


def parse_scenario(source: Mapping[str, Any], *, directory: Path) -> NetworkScenario:
    """The record for a file's keys; a trace's file is looked for in `directory`. Raises `ScenarioError`."""
    keys = Keys(source, "", _TOP)
    classes = _classes(keys)
    try:
        link = parse_link(keys.get("link", {}), "link")
    except LinkError as error:
        raise ScenarioError(str(error)) from error
    arrivals = keys.inside("arrivals", ("kind", "load", "file"), {"kind": "burst"})
    kind = arrivals.word("kind", "poisson", KINDS)
    loads: tuple[float | None, ...] = (None,)
    trace: tuple[Arrival, ...] = ()
    if kind == "poisson":
        loads = arrivals.numbers("load", (1.0,), above=0.0)
        if link.rate_bits_s == float("inf"):
            raise keys.error("link", "has no rate, which loads are relative to")
    if kind == "trace":
        trace = _trace(arrivals, directory, classes)
    cells = keys.inside("cells", ("transport", "scheduler", "congestion_control"), {})
    known = tuple(dict.fromkeys((*SCHEDULERS, *PRESENT_SCHEDULERS)))
    return NetworkScenario(
        name=keys.word("name", "network"),
        classes=classes,
        link=link,
        kind=kind,
        loads=loads,
        trace=trace,
        requests=keys.whole("requests", len(trace) or 80, at_least=1),
        seeds=keys.wholes("seeds", (1,), at_least=0),
        transports=cells.words("transport", TRANSPORTS, TRANSPORTS),
        schedulers=cells.words("scheduler", ("rr", "edf"), known),
        congestion_controls=cells.words("congestion_control", ("cubic", "bbr"), CONGESTION_CONTROLS),
        give_up_s=keys.number("give_up", GIVE_UP_S, above=0.0),
        headway=keys.mapping("headway"),
        environment=keys.texts("environment"),
        source=source,
    )


def _classes(keys: Keys) -> dict[str, RequestClass]:
    found: dict[str, RequestClass] = {}
    classes = keys.inside("classes", None)
    for name in classes:
        one = classes.inside(name, _CLASS)
        level: Level = "high" if one.word("level", "low", ("high", "low")) == "high" else "low"
        found[str(name)] = RequestClass(
            str(name),
            one.whole("size", 8192, at_least=0),
            one.number("deadline", 1.0, above=0.0),
            one.number("weight", 1.0, above=0.0),
            one.whole("priority", 0, at_least=0),
            level,
            one.number("share", 1.0, at_least=0.0),
        )
    if not any(item.share for item in found.values()):
        raise keys.error("classes", "no class with a share above 0")
    return found


def _trace(arrivals: Keys, directory: Path, classes: Mapping[str, RequestClass]) -> tuple[Arrival, ...]:
    """Lines `SECONDS[,CLASS]`, in any order; a heading and empty lines are passed over."""
    file = directory / arrivals.word("file", "")
    found: list[Arrival] = []
    try:
        for number, line in enumerate(csv.reader(file.read_text().splitlines()), 1):
            if not line or (number == 1 and not line[0].strip().replace(".", "", 1).isdigit()):
                continue
            name = line[1].strip() if len(line) > 1 else None
            if name is not None and name not in classes:
                raise arrivals.error("file", f"{file}:{number}: {name!r} is no class; known: {', '.join(classes)}")
            found.append(Arrival(float(line[0]), name))
    except (OSError, ValueError) as error:
        raise arrivals.error("file", f"{file}: {error}") from error
    if not found:
        raise arrivals.error("file", f"{file} has no arrivals")
    return tuple(sorted(found, key=lambda item: item.at_s))
