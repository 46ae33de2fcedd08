"""The scenario of `congestion`: YAML file → record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.keys import Keys, read_file
from ops.bench.scenario import ScenarioError
from ops.link import LinkError, parse_link
from ops.link.description import read_value

TRANSPORTS = ("quic", "tcp", "kernel")
DEFAULT_SCHEDULER = "edf"

_TOP = ("name", "link", "seeds", "goodput", "realtime", "fairness", "changes", "headway", "environment", "quick")


@dataclass(frozen=True, slots=True)
class Flow:
    """What sends."""

    transport: str
    """quic and tcp: a tunnel of headway; kernel: a plain TCP connection between the namespaces."""
    scheduler: str | None
    """The tunnel's, for quic."""
    control: str
    """The congestion control: headway's for quic, else the kernel's."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.transport, self.scheduler, self.control) if part)

    @staticmethod
    def parse(text: str) -> Flow:
        """`quic/bbr`, `quic/adaptive/bbr`, `tcp/cubic` or `kernel/bbr`. Raises ValueError."""
        transport, *rest = text.split("/")
        if transport not in TRANSPORTS or not all(rest) or len(rest) not in ((1, 2) if transport == "quic" else (1,)):
            raise ValueError(text)
        scheduler = None if transport != "quic" else rest[0] if len(rest) > 1 else DEFAULT_SCHEDULER
        return Flow(transport, scheduler, rest[-1])


@dataclass(frozen=True, slots=True)
class Goodput:
    """One bulk transfer."""

    seconds: float
    flows: tuple[Flow, ...]
    rates_bits_s: tuple[float, ...]
    losses: tuple[float, ...]
    queues_bdp: tuple[float, ...]
    directions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Realtime:
    """Requests on an idle link, then the same under a flood."""

    flows: tuple[Flow, ...]
    losses: tuple[float, ...]
    queue_bdp: float
    requests: int
    gap_s: float
    """Between two requests, on average; drawn evenly from half of it to one and a half."""
    size_bytes: int
    calls: int
    """Bulk calls at a time."""
    lead_s: float
    """From the beginning of the flood to the first request under it."""
    bulk_bytes: tuple[float, ...]
    """Smallest and largest."""
    bulk_deadlines: tuple[str, ...]
    """Of the class of the bulk calls, as headway's configuration has them: `none`, `7s`."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """Two transfers, the second of which joins late."""

    seconds: float
    join_at_s: float
    pairs: tuple[tuple[Flow, ...], ...]
    queues_bdp: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """One transfer on a link that changes."""

    seconds: float
    flows: tuple[Flow, ...]
    queue_bdp: float
    events: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Name → changes, as a link's. In the file, null leaves one out."""


@dataclass(frozen=True, slots=True)
class CongestionScenario:
    """What `congestion` measures."""

    name: str
    link: Mapping[str, Any]
    """As it stands in the file; loss and queue are the cells'."""
    rate_bits_s: float
    """Of the parts that have no rates of their own."""
    round_trip_s: float
    seeds: tuple[int, ...]
    goodput: Goodput
    realtime: Realtime
    fairness: Fairness
    changes: Changes
    headway: Mapping[str, Any]
    """Laid on the configuration file of headway's proxy and daemon."""
    environment: Mapping[str, str]
    """Variables for headway's proxy and daemon."""
    source: Mapping[str, Any]
    """The file's keys, after what `quick` and the command line replaced."""

    def seconds(self, part: str) -> float:
        """How long a part's transfers last."""
        return {"goodput": self.goodput.seconds, "fairness": self.fairness.seconds, "changes": self.changes.seconds}[
            part
        ]

    def fingerprint(self, part: str) -> str:
        """Tells runs of a part apart whose cells may not stand in one result.

        It is equal where every setting that a cell's own key does not name is.
        """
        own = {key: value for key, value in self.source.get(part, {}).items() if key in _NOT_IN_A_CELL[part]}
        source = {"link": self.link, part: own, "headway": self.headway, "environment": self.environment}
        return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()[:16]


_NOT_IN_A_CELL = {
    "goodput": ("seconds",),
    "realtime": ("requests", "gap", "size", "calls", "lead", "bulk"),
    "fairness": ("seconds", "join_at"),
    "changes": ("seconds", "events"),
}


def read_scenario(path: Path, *, quick: bool = False, over: Mapping[str, Any] | None = None) -> CongestionScenario:
    """Read a file, with its `quick` keys and then those of `over` laid on it. Raises `ScenarioError`."""
    return read_file(path, _TOP, parse_scenario, quick=quick, over=over)


def parse_scenario(source: Mapping[str, Any]) -> CongestionScenario:
    """The record for a file's keys. Raises `ScenarioError`."""
    keys = Keys(source, "", _TOP)
    described = keys.mapping("link")
    for key in ("loss", "queue", "changes"):
        if key in described:
            raise ScenarioError(f"link.{key}: the parts have it, each for its own cells")
    try:
        link = parse_link(described, "link")
    except LinkError as error:
        raise ScenarioError(str(error)) from error
    if not 0 < link.rate_bits_s < float("inf") or link.delay_s <= 0:
        raise ScenarioError("link: rate and delay are needed; queues and shares are counted in them")
    rate = described["rate"]
    return CongestionScenario(
        name=keys.word("name", "congestion"),
        link=described,
        rate_bits_s=link.rate_bits_s,
        round_trip_s=2 * link.delay_s,
        seeds=keys.wholes("seeds", (1,), at_least=0),
        goodput=_goodput(
            keys.inside("goodput", ("seconds", "flows", "rates", "losses", "queues", "directions"), {}), rate
        ),
        realtime=_realtime(keys.inside("realtime", _REALTIME, {})),
        fairness=_fairness(keys.inside("fairness", ("seconds", "join_at", "pairs", "queues"), {})),
        changes=_changes(keys.inside("changes", ("seconds", "flows", "queue", "events"), {}), described),
        headway=keys.mapping("headway"),
        environment=keys.texts("environment"),
        source=source,
    )


_REALTIME = ("flows", "losses", "queue", "requests", "gap", "size", "calls", "lead", "bulk", "deadlines")


def _goodput(keys: Keys, rate: object) -> Goodput:
    return Goodput(
        seconds=keys.number("seconds", 20.0, above=0.0),
        flows=_flows(keys, ("quic/bbr",)),
        rates_bits_s=_link_values(keys, "rates", "rate", [rate]),
        losses=_link_values(keys, "losses", "loss", [0]),
        queues_bdp=keys.numbers("queues", (1.0,), above=0.0),
        directions=keys.words("directions", ("up", "down"), ("up", "down")),
    )


def _realtime(keys: Keys) -> Realtime:
    bulk = keys.numbers("bulk", (102400, 1048576), above=0.0)
    return Realtime(
        flows=_flows(keys, ("quic/edf/bbr",)),
        losses=_link_values(keys, "losses", "loss", [0]),
        queue_bdp=keys.number("queue", 1.0, above=0.0),
        requests=keys.whole("requests", 200, at_least=1),
        gap_s=keys.number("gap", 0.1, above=0.0),
        size_bytes=keys.whole("size", 8192, at_least=1),
        calls=keys.whole("calls", 8, at_least=1),
        lead_s=keys.number("lead", 5.0, at_least=0.0),
        bulk_bytes=(min(bulk), max(bulk)),
        bulk_deadlines=_texts(keys, "deadlines", ["none"]),
    )


def _fairness(keys: Keys) -> Fairness:
    pairs = keys.get("pairs", [["quic/bbr", "quic/bbr"]])
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise keys.error("pairs", f"{pairs!r} is not a list of pairs of flows")
    return Fairness(
        seconds=keys.number("seconds", 40.0, above=0.0),
        join_at_s=keys.number("join_at", 10.0, at_least=0.0),
        pairs=tuple(tuple(_flow(keys, "pairs", text) for text in pair) for pair in pairs),
        queues_bdp=keys.numbers("queues", (1.0,), above=0.0),
    )


def _changes(keys: Keys, link: Mapping[str, Any]) -> Changes:
    events: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for name, changes in keys.mapping("events").items():
        if changes is None:  # `quick` leaves one out
            continue
        try:
            parse_link({**link, "changes": changes}, f"changes.events.{name}")
        except LinkError as error:
            raise ScenarioError(str(error)) from error
        events[name] = tuple(changes)
    return Changes(
        seconds=keys.number("seconds", 30.0, above=0.0),
        flows=_flows(keys, ("quic/bbr",)),
        queue_bdp=keys.number("queue", 1.0, above=0.0),
        events=events,
    )


def _texts(keys: Keys, key: str, default: list[str]) -> tuple[str, ...]:
    values = keys.get(key, default)
    if not isinstance(values, list) or not values:
        raise keys.error(key, f"{values!r} is not a list")
    return tuple(map(str, values))


def _flows(keys: Keys, default: tuple[str, ...]) -> tuple[Flow, ...]:
    texts = keys.get("flows", list(default))
    if not isinstance(texts, list) or not texts:
        raise keys.error("flows", f"{texts!r} is not a list of flows")
    return tuple(_tunnel(keys, "flows", text) for text in texts)


def _tunnel(keys: Keys, key: str, text: object) -> Flow:
    flow = _flow(keys, key, text)
    if flow.transport == "kernel":
        raise keys.error(key, f"{text!r} is no tunnel of headway; quic and tcp are")
    return flow


def _flow(keys: Keys, key: str, text: object) -> Flow:
    try:
        return Flow.parse(str(text))
    except ValueError:
        raise keys.error(key, f"{text!r} is no flow, such as quic/bbr, quic/rr/cubic, tcp/cubic, kernel/bbr") from None


def _link_values(keys: Keys, key: str, word: str, default: list[object]) -> tuple[float, ...]:
    """Values of one of the words that describe a link."""
    values = keys.get(key, default)
    if not isinstance(values, list) or not values:
        raise keys.error(key, f"{values!r} is not a list")
    try:
        return tuple(read_value(word, value, key) for value in values)
    except LinkError as error:
        raise keys.error(key, str(error)) from error
