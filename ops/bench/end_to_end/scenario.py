"""The scenario of `end_to_end`: YAML file → record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.keys import Keys, read_file
from ops.bench.network.grid import Row
from ops.bench.scenario import ScenarioError
from ops.link import LinkError, LinkSettings, parse_link
from ops.link.settings import as_json
from policies.scheduling.registry import SCHEDULERS
from policies.selection.registry import make_policy, require_candidate
from policies.simulation.keys import WorkloadError
from policies.simulation.workload import Workload
from policies.simulation.workload_file import parse_workload
from policies.traffic import Level, TrafficClass
from proxy.config.records import CONGESTION_CONTROLS

TRANSPORTS = ("quic", "tcp")

_TOP = (
    *("name", "seconds", "link", "workloads", "classes", "candidates", "cells", "seeds"),
    *("answer_bytes", "trace", "headway", "environment", "quick"),
)
_ORDER = ("priority", "level")
"""Keys of a class beside those of a workload file."""
_COLUMN = ("transport", "scheduler", "congestion_control")


@dataclass(frozen=True, slots=True)
class EndToEndScenario:
    """What `end_to_end` measures."""

    name: str
    workloads: Mapping[str, Workload]
    """By name; they differ in arrivals only."""
    classes: Mapping[str, TrafficClass]
    link: LinkSettings
    policies: tuple[str, ...]
    columns: tuple[Row, ...]
    seeds: tuple[int, ...]
    answer_bytes: int
    """Of a token, beside the message around it."""
    trace: bool
    """Whether decisions and the scheduler's mode are recorded, for the timeline."""
    headway: Mapping[str, Any]
    """Laid on the configuration file of headway's proxy and daemon."""
    environment: Mapping[str, str]
    """Variables for headway's proxy and daemon."""
    source: Mapping[str, Any]
    """The file's keys, after what `quick` and the command line replaced."""

    def fingerprint(self) -> str:
        """Equal for runs whose cells may stand in one result: all settings are equal that a cell does not name."""
        source = settings_of(self.source) | {"link": as_json(self.link)}
        return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()[:16]


def settings_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a file's keys that a cell does not name."""
    return {key: value for key, value in source.items() if key not in ("name", "cells", "seeds")}


def read_scenario(path: Path, *, quick: bool = False, over: Mapping[str, Any] | None = None) -> EndToEndScenario:
    """Read a file, with its `quick` keys and then those of `over` laid on it. Raises `ScenarioError`."""
    return read_file(path, _TOP, lambda source: parse_scenario(source, file=path), quick=quick, over=over)


def parse_scenario(source: Mapping[str, Any], *, file: Path) -> EndToEndScenario:
    """The record for a file's keys; profiles that it names lie beside `file`. Raises `ScenarioError`."""
    keys = Keys(source, "", _TOP)
    try:
        link = parse_link(keys.get("link", {}), "link")
        workloads = _workloads(keys, link, file)
    except LinkError as error:
        raise ScenarioError(str(error)) from error
    cells = keys.inside("cells", ("policy", "columns"), {})
    models = [candidate.model for candidate in next(iter(workloads.values())).candidates]
    trace = keys.get("trace", False)
    if not isinstance(trace, bool):
        raise keys.error("trace", f"{trace!r} is neither true nor false")
    return EndToEndScenario(
        name=keys.word("name", "end-to-end"),
        workloads=workloads,
        classes=_classes(keys, workloads),
        link=link,
        policies=_policies(cells, models),
        columns=_columns(cells),
        seeds=keys.wholes("seeds", (1,), at_least=0),
        answer_bytes=keys.whole("answer_bytes", 8, at_least=0),
        trace=trace,
        headway=keys.mapping("headway"),
        environment=keys.texts("environment"),
        source=source,
    )


def _workloads(keys: Keys, link: LinkSettings, file: Path) -> dict[str, Workload]:
    classes = {
        name: {key: value for key, value in item.items() if key not in _ORDER} if isinstance(item, Mapping) else item
        for name, item in keys.mapping("classes").items()
    }
    found = {}
    for name, arrivals in keys.mapping("workloads").items():
        if arrivals is None:  # so that `quick` can leave one out
            continue
        content = {
            "name": name,
            "seconds": keys.get("seconds", None),
            "arrivals": arrivals,
            "classes": classes,
            "network": {"delay": link.delay_s},
            "candidates": keys.get("candidates", []),
        }
        try:
            found[str(name)] = parse_workload({key: value for key, value in content.items() if value is not None}, file)
        except WorkloadError as error:
            what = str(error).removeprefix(f"{file}: ")
            raise ScenarioError(f"workloads.{name}: {what}" if what.startswith("arrivals") else what) from error
    if not found:
        raise keys.error("workloads", "a mapping of at least one name to its arrivals is needed")
    if not next(iter(found.values())).streaming:
        raise keys.error("classes", "answer_tokens is missing: a request's answer is a token stream here")
    return found


def _classes(keys: Keys, workloads: Mapping[str, Workload]) -> dict[str, TrafficClass]:
    classes = keys.inside("classes", None)
    found = {}
    for described in next(iter(workloads.values())).classes:
        traffic = described.traffic
        one = classes.inside(traffic.name, None)
        level: Level = "high" if one.word("level", "low", ("high", "low")) == "high" else "low"
        found[traffic.name] = TrafficClass(
            traffic.name,
            traffic.deadline_s,
            traffic.token_deadline_s,
            one.whole("priority", 0, at_least=0),
            level,
            traffic.weight,
            traffic.on_miss,
        )
    return found


def _policies(cells: Keys, models: list[str]) -> tuple[str, ...]:
    value = cells.get("policy", ["dqn"])
    if not isinstance(value, list) or not value:
        raise cells.error("policy", f"{value!r} is not a list of policies")
    for name in value:
        try:
            make_policy(str(name))
            require_candidate(str(name), models)
        except ValueError as error:
            raise cells.error("policy", str(error)) from error
    return tuple(dict.fromkeys(str(name) for name in value))


def _columns(cells: Keys) -> tuple[Row, ...]:
    value = cells.get("columns", [{}])
    if not isinstance(value, list) or not value:
        raise cells.error("columns", f"{value!r} is not a list of mappings with {', '.join(_COLUMN)}")
    found: list[Row] = []
    for place, item in enumerate(value):
        one = Keys(item, f"cells.columns[{place}]", _COLUMN)
        transport = one.word("transport", "quic", TRANSPORTS)
        controls = one.words("congestion_control", ("bbr",), CONGESTION_CONTROLS)
        if transport == "tcp":
            found += [Row("tcp", None, control) for control in controls]
        else:
            schedulers = one.words("scheduler", ("edf",), tuple(SCHEDULERS))
            found += [Row("quic", scheduler, control) for control in controls for scheduler in schedulers]
    return tuple(dict.fromkeys(found))
