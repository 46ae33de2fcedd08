"""The file of tuned knobs: by workload and policy, with what they scored on which seeds, and the command.

```yaml
format: 1
workloads:
  stable:
    command: headway evaluate --tune …
    seeds: [900, 901]
    policies:
      greedy: {score: 0.8468, knobs: {margin_sigmas: 8.0}}
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from policies.evaluation.tune import Knobs
from policies.selection.tuning import TUNABLE
from policies.simulation.keys import Keys, WorkloadError

SHIPPED = Path(__file__).parent / "tuned.yaml"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TunedOn:
    """What was found on one workload."""

    command: str
    seeds: tuple[int, ...]
    policies: Mapping[str, Knobs]


def read_tuned(file: Path) -> dict[str, TunedOn]:
    """By the workload's name. Raises `WorkloadError` naming the file, the key and what is allowed."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise WorkloadError(f"{file}: {error}") from error
    keys = Keys(content, file, "", ("format", "workloads"))
    if keys.get("format") != FORMAT:
        raise keys.error("format", f"{keys.get('format')!r} is not {FORMAT}")
    workloads = keys.inside("workloads", None)
    return {str(name): _tuned_on(workloads.inside(name, ("command", "seeds", "policies"))) for name in workloads}


def write_tuned(file: Path, found: Mapping[str, TunedOn]) -> None:
    """Write the file; what it has of other workloads stays. Raises `WorkloadError` if that can't be read."""
    there = read_tuned(file) if file.exists() else {}
    workloads = {name: _content(tuned) for name, tuned in sorted({**there, **found}.items())}
    content = {"format": FORMAT, "workloads": workloads}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    file.write_text(
        f"# Knobs of the baselines, by workload; made by `headway evaluate --tune`.\n{text}", encoding="utf-8"
    )


def knobs_for(tuned: TunedOn | None, models: list[str]) -> dict[str, Mapping[str, object]]:
    """The knobs by policy; a table of other models than the workload has is left out."""
    if tuned is None:
        return {}
    return {
        name: found.knobs
        for name, found in tuned.policies.items()
        if all(model in models for _, model in _table(found.knobs))
    }


def _table(knobs: Mapping[str, object]) -> Any:
    return knobs.get("table", ())


def _tuned_on(keys: Keys) -> TunedOn:
    policies = keys.inside("policies", tuple(TUNABLE))
    found = {}
    for name in policies:
        inside = policies.inside(name, ("score", "knobs"))
        defaults = asdict(TUNABLE[name].settings)
        knobs = inside.inside("knobs", tuple(defaults))
        found[str(name)] = Knobs({knob: _value(knobs, knob, defaults[knob]) for knob in knobs}, inside.number("score"))
    seeds = tuple(int(seed) for seed in keys.numbers("seeds", at_least=0))
    return TunedOn(keys.word("command"), seeds, found)


def _value(knobs: Keys, knob: str, default: object) -> object:
    """A knob as its policy's settings have it: a number, a word, or the table."""
    if isinstance(default, str):
        return knobs.word(knob)
    if isinstance(default, tuple):
        return _rows(knobs, knob)
    number = knobs.number(knob)
    return int(number) if isinstance(default, int) else number


def _rows(knobs: Keys, knob: str) -> tuple[tuple[float, str], ...]:
    rows = []
    for _, row in knobs.items(knob):
        match row:
            case [int() | float() as rate, str() as model]:
                rows.append((float(rate), model))
            case _:
                raise knobs.error(knob, f"{row!r} is not [requests a second, model]")
    if not rows or rows[-1][0] != math.inf or sorted(rows) != rows:
        raise knobs.error(knob, "ascending rates are allowed, the last .inf")
    return tuple(rows)


def _content(tuned: TunedOn) -> dict[str, object]:
    policies = {
        name: {"score": round(found.score, 4), "knobs": {knob: _plain(value) for knob, value in found.knobs.items()}}
        for name, found in tuned.policies.items()
    }
    return {"command": tuned.command, "seeds": list(tuned.seeds), "policies": policies}


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
