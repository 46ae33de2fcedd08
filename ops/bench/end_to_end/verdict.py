"""What the tables come to: which cell is best, what choice and order gain, how far the simulator is off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.end_to_end.grid import column_of
from ops.bench.end_to_end.summary import BySeed, Key, by_key, paired, ratio
from ops.bench.network.grid import Row

Entry = Mapping[str, Any]

DYNAMIC = "dqn"
STATIC = "static:"
BEST_ORDER = "adaptive"
CLOSE = 0.05
"""How far the simulator is to be off at most, in score."""


def verdicts(entries: Sequence[Entry], summary: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """By workload and congestion control of its QUIC columns; what cannot be said of the cells that are there is None.

    `best`: the cell of the highest mean score; of how many `others`, and which of them it is not ahead of outside the
    interval, seed by seed: by how much it is, closest first. `to_tcp`, `to_static`: the score of `dqn` with `adaptive`
    (with `edf` in a table without that) over that of `dqn` by TLS/TCP, and of the best static model with `rr`.
    `behind_tcp`, `behind_edf`: QUIC cells that are not above TLS/TCP in the mean, cells of `adaptive` that are below
    `edf` outside the interval. `simulated`: how many cells the simulator's mean is within `CLOSE` of, of how many, and
    the one that it is off most.
    """
    found: dict[str, dict[str, Any]] = {}
    for workload in dict.fromkeys(entry["workload"] for entry in summary):
        controls = [entry["congestion_control"] for entry in summary if entry["transport"] == "quic"]
        for control in dict.fromkeys(controls):
            table = [entry for entry in summary if entry["workload"] == workload and _in_table(entry, control)]
            if table:
                found[f"{workload}/{control}"] = _verdict(table, entries, workload, control)
    return found


def _in_table(entry: Entry, control: str) -> bool:
    return bool(entry["transport"] == "tcp" or entry["congestion_control"] == control)


def _verdict(table: Sequence[Entry], entries: Sequence[Entry], workload: str, control: str) -> dict[str, Any]:
    best = max(table, key=_score)
    grouped = by_key(entries)
    order = BEST_ORDER if any(entry["scheduler"] == BEST_ORDER for entry in table) else "edf"
    subject = grouped.get((workload, DYNAMIC, Row("quic", order, control)), {})
    tcp = next((column_of(entry) for entry in table if entry["transport"] == "tcp"), None)
    statics = [entry for entry in table if entry["policy"].startswith(STATIC) and entry["scheduler"] == "rr"]
    static = max(statics, key=_score)["policy"] if statics else None
    rivals = {
        "to_tcp": grouped.get((workload, DYNAMIC, tcp), {}) if tcp is not None else {},
        "to_static": grouped.get((workload, static, Row("quic", "rr", control)), {}) if static is not None else {},
    }
    off = [entry for entry in table if entry["mean"].get("simulated_minus_real") is not None]
    worst = max(off, key=lambda entry: abs(entry["mean"]["simulated_minus_real"]), default=None)
    return {
        "best": {"cell": name_of(best), "score": _score(best), **_ahead(best, table, grouped)},
        "static": static,
        **{name: ratio(subject, rival) for name, rival in rivals.items()},
        **{f"{name}_less": paired(subject, rival, lambda one, other: one - other) for name, rival in rivals.items()},
        "behind_tcp": [
            name_of(entry)
            for entry in table
            if entry["transport"] == "quic"
            and any(found["mean"] <= 0 for other, found in entry["ahead_of"].items() if other.startswith("tcp"))
        ],
        "behind_edf": [
            name_of(entry)
            for entry in table
            for other, found in entry["ahead_of"].items()
            if not other.startswith("tcp") and found["ci95"] is not None and found["mean"] + found["ci95"] < 0
        ],
        "simulated": {
            "close": sum(abs(entry["mean"]["simulated_minus_real"]) <= CLOSE for entry in off),
            "of": len(off),
            "worst": None
            if worst is None
            else {"cell": name_of(worst), "simulated_minus_real": worst["mean"]["simulated_minus_real"]},
        },
    }


def _ahead(best: Entry, table: Sequence[Entry], grouped: Mapping[Key, BySeed]) -> dict[str, Any]:
    less = {}
    for entry in table:
        found = paired(grouped[_key(best)], grouped[_key(entry)], lambda one, other: one - other)
        if entry is not best and found is not None and found["ci95"] is not None:
            less[name_of(entry)] = found
    inside = [name for name, found in less.items() if found["mean"] <= found["ci95"]]
    return {
        "others": len(less),
        "not_outside": {name: less[name] for name in sorted(inside, key=lambda name: less[name]["mean"])},
    }


def _key(entry: Entry) -> Key:
    return entry["workload"], entry["policy"], column_of(entry)


def name_of(entry: Entry) -> str:
    """A cell of a table, as texts name it."""
    return f"{entry['policy']} {column_of(entry)}"


def _score(entry: Entry) -> float:
    return float(entry["mean"]["score"])
