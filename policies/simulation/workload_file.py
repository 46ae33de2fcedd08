"""YAML file → workload."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml

from policies.profile_file import PROFILE_KEYS, profile_of, profile_path, read_profile
from policies.scheduling.registry import SCHEDULERS
from policies.simulation.arrivals import Arrivals, Diurnal, Flash, Mmpp, RecordedTimes, Stable, Unpredictable
from policies.simulation.distribution import Constant, Distribution, Lognormal, Recorded, Uniform
from policies.simulation.keys import Keys, WorkloadError
from policies.simulation.workload import Event, MixShift, Network, RequestClass, SimulatedCandidate, Workload
from policies.traffic import NO_DEADLINE, OnMiss, TrafficClass

SHIPPED = Path(__file__).parent / "workloads"

_WORKLOAD = ("name", "seconds", "arrivals", "classes", "mix", "network", "candidates", "events")
_CLASS = (
    *("share", "deadline", "token_deadline", "weight", "on_miss"),
    *("size", "answer_size", "prompt_tokens", "answer_tokens"),
)
_CANDIDATE = ("model", "quality", "profile", *PROFILE_KEYS)
_ARRIVALS: Mapping[str, tuple[str, ...]] = {
    "stable": ("rates", "hold"),
    "unpredictable": ("rate", "hold", "distribution"),
    "mmpp": ("rates", "mean_hold"),
    "diurnal": ("low", "high", "period"),
    "flash": ("base", "peak", "at", "hold"),
    "trace": ("file",),
}
_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "lognormal": ("median", "sigma"),
    "trace": ("file",),
}


def shipped_workloads() -> list[Path]:
    """The files that come with headway."""
    return sorted(SHIPPED.glob("*.yaml"))


def read_workload(file: Path | str) -> Workload:
    """Read a file, or the shipped one of that name. Raises `WorkloadError`."""
    path = Path(file)
    if isinstance(file, str) and not path.suffix and (SHIPPED / f"{file}.yaml").exists():
        path = SHIPPED / f"{file}.yaml"
    return parse_workload(_content(path), path)


def parse_workload(content: object, file: Path) -> Workload:
    """The record of a file's content; `file` is for messages and for the paths in it. Raises `WorkloadError`."""
    keys = Keys(content, file, "", _WORKLOAD)
    classes = tuple(_class(name, keys.inside("classes", None)) for name in keys.inside("classes", None))
    if not classes or sum(kind.share for kind in classes) <= 0:
        raise keys.error("classes", "no class has a share")
    streaming = any(kind.answer_tokens is not None for kind in classes)
    candidates = tuple(
        _candidate(Keys(item, file, where, _CANDIDATE), streaming) for where, item in keys.items("candidates")
    )
    models = [candidate.model for candidate in candidates]
    if not models or len(models) != len(set(models)):
        raise keys.error("candidates", "a list of at least one, each with another model")
    workload = Workload(
        name=keys.word("name"),
        seconds=keys.number("seconds", above=0),
        arrivals=_arrivals(keys.inside("arrivals", None)),
        classes=classes,
        network=_network(keys),
        candidates=candidates,
        events=tuple(_event(Keys(item, file, where, None), models) for where, item in keys.items("events")),
        mix=_mix(keys, [kind.traffic.name for kind in classes]),
    )
    _same_kind(keys, workload)
    return workload


def _content(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise WorkloadError(f"{path}: {error}") from error


def _same_kind(keys: Keys, workload: Workload) -> None:
    for kind in workload.classes:
        if workload.streaming != (kind.answer_tokens is not None):
            raise keys.error("classes", "answer_tokens for all classes, or for none")
    for candidate in workload.candidates:
        if workload.streaming != (candidate.profile.tokens is not None):
            raise keys.error("candidates", f"{candidate.model}: tokens and the classes' answer_tokens go together")


def _class(name: str, classes: Keys) -> RequestClass:
    keys = classes.inside(name, _CLASS)
    on_miss = keys.word("on_miss", "deliver", ("deliver", "fail"))
    return RequestClass(
        TrafficClass(
            str(name),
            deadline_s=keys.number("deadline", above=0),
            token_deadline_s=keys.number("token_deadline", above=0) if "token_deadline" in keys else NO_DEADLINE,
            weight=keys.number("weight", 1.0, above=0),
            on_miss=cast("OnMiss", on_miss),
        ),
        share=keys.number("share", 1.0, at_least=0),
        size=_distribution(keys, "size", 0.0),
        answer_size=_distribution(keys, "answer_size", 0.0),
        prompt_tokens=_distribution(keys, "prompt_tokens", 0.0),
        answer_tokens=_distribution(keys, "answer_tokens", 0.0, above=0.0) if "answer_tokens" in keys else None,
    )


def _distribution(keys: Keys, key: str, default: float, *, above: float | None = None) -> Distribution:
    value = keys.get(key, default)
    if not isinstance(value, Mapping):
        least = 0.0 if above is None else None
        return Constant(keys.as_number(key, value, above=above, at_least=least))
    kind = keys.inside(key, None).word("kind", None, tuple(_DISTRIBUTIONS))
    inside = keys.inside(key, ("kind", *_DISTRIBUTIONS[kind]))
    if kind == "uniform":
        low, high = inside.number("low", at_least=0), inside.number("high", at_least=0)
        if low > high:
            raise inside.error("low", f"{low:g} is above high, {high:g}")
        return Uniform(low, high)
    if kind == "lognormal":
        return Lognormal(inside.number("median", above=0), inside.number("sigma", at_least=0))
    return Recorded(_columns(inside, "file")[0])


def _network(keys: Keys) -> Network:
    if "network" not in keys:
        return Network(Constant(0.0), Constant(0.0))
    allowed = ("delay", "up", "down", "rate", "order", "kind", "median", "sigma", "low", "high", "file")
    network = keys.inside("network", allowed)
    rate = network.number("rate", above=0) if "rate" in network else None
    order = network.word("order", None, tuple(SCHEDULERS)) if "order" in network else None
    if order is not None and rate is None:
        raise network.error("order", "needs a rate for requests to share")
    if "kind" in network:
        own = {key: network.get(key) for key in network if key not in {"rate", "order"}}
        whole = Keys({"network": own}, keys.file, "", None)
        kind = network.word("kind", None, tuple(_DISTRIBUTIONS))
        if kind == "trace":
            columns = _columns(network, "file")
            return Network(Recorded(columns[0]), Recorded(columns[-1]), rate, order)
        delay = _distribution(whole, "network", 0.0)
        return Network(delay, delay, rate, order)
    delay = _distribution(network, "delay", 0.0)
    up = _distribution(network, "up", 0.0) if "up" in network else delay
    down = _distribution(network, "down", 0.0) if "down" in network else delay
    return Network(up, down, rate, order)


def _columns(keys: Keys, key: str) -> list[tuple[float, ...]]:
    """The columns of a file of numbers, at least 0, between commas; lines that begin with # are left out."""
    path = keys.path(key)
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
        rows = [tuple(float(item) for item in line.split(",")) for line in lines]
    except (OSError, ValueError) as error:
        raise keys.error(key, f"{path}: {error}") from error
    if not rows or len({len(row) for row in rows}) > 1:
        raise keys.error(key, f"{path}: not the same number of columns in every line, or none")
    if any(not 0 <= item < math.inf for row in rows for item in row):
        raise keys.error(key, f"{path}: numbers of at least 0 are allowed")
    return list(zip(*rows, strict=True))


def _arrivals(keys: Keys) -> Arrivals:
    kind = keys.word("kind", None, tuple(_ARRIVALS))
    keys = Keys({key: keys.get(key) for key in keys}, keys.file, "arrivals", ("kind", *_ARRIVALS[kind]))
    if kind == "stable":
        return Stable(keys.numbers("rates", at_least=0), keys.number("hold", above=0))
    if kind == "unpredictable":
        distribution = keys.word("distribution", "uniform", ("uniform", "loguniform"))
        return Unpredictable(keys.span("rate", above=0), keys.span("hold", above=0), cast("Any", distribution))
    if kind == "mmpp":
        rates, holds = keys.numbers("rates", at_least=0), keys.numbers("mean_hold", above=0)
        if len(rates) != len(holds):
            raise keys.error("mean_hold", f"{len(holds)} times for {len(rates)} rates")
        return Mmpp(rates, holds)
    if kind == "diurnal":
        low, high = keys.number("low", at_least=0), keys.number("high", above=0)
        return Diurnal(low, high, keys.number("period", above=0))
    if kind == "flash":
        base, peak = keys.number("base", at_least=0), keys.number("peak", at_least=0)
        return Flash(base, peak, keys.number("at", at_least=0), keys.number("hold", above=0))
    return RecordedTimes(tuple(sorted(_columns(keys, "file")[0])))


def _mix(keys: Keys, classes: list[str]) -> tuple[MixShift, ...]:
    shifts = []
    for where, item in keys.items("mix"):
        shift = Keys(item, keys.file, where, ("at", "shares"))
        shares = shift.inside("shares", classes)
        values = tuple((name, shares.number(name, at_least=0)) for name in shares)
        if sum(share for _, share in values) <= 0:
            raise shift.error("shares", "no class has a share")
        shifts.append(MixShift(shift.number("at", at_least=0), values))
    return tuple(sorted(shifts, key=lambda shift: shift.at))


def _event(keys: Keys, models: list[str]) -> Event:
    kind = keys.word("kind", None, ("down", "slow", "delay"))
    keys = Keys({key: keys.get(key) for key in keys}, keys.file, keys.where, _event_keys(kind))
    at, duration_s = keys.number("at", at_least=0), keys.number("for", above=0)
    candidate = "" if kind == "delay" else keys.word("candidate", None, models)
    factor = 1.0 if kind == "down" else keys.number("factor", above=0)
    return Event(at, duration_s, cast("Any", kind), candidate, factor)


def _event_keys(kind: str) -> tuple[str, ...]:
    of_kind = {"down": ("candidate",), "slow": ("candidate", "factor"), "delay": ("factor",)}
    return ("at", "kind", "for", *of_kind[kind])


def _candidate(keys: Keys, streaming: bool) -> SimulatedCandidate:  # noqa: FBT001 - of the workload
    model, quality = keys.word("model"), keys.number("quality", above=0)
    if quality > 1:
        raise keys.error("quality", f"{quality:g} is above 1")
    if "profile" not in keys:
        return SimulatedCandidate(model, quality, profile_of(keys))
    if own := [key for key in PROFILE_KEYS if key in keys]:
        raise keys.error(own[0], "comes from the profile; leave it out, or write the profile's keys here")
    profile = read_profile(profile_path(keys.word("profile"), keys.file.parent), model)
    # A measured model that streams has the latency of whole answers too, for workloads of those.
    return SimulatedCandidate(model, quality, profile if streaming else replace(profile, tokens=None))
