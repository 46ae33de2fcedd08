"""The demo's configuration: the file that `headway proxy` and `headway daemon` are started with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policies.profile_file import SHIPPED
from proxy.demo.load import CLASSES
from proxy.demo.triton_server import HOST

ROUTE = "llm"
"""Answers with a whole completion (`ModelInfer`)."""
STREAM_ROUTE = "llm-stream"
"""Answers byte by byte (`ModelStreamInfer`)."""
SIZES = ("large", "medium", "small")
POLICY = "dqn"

HEADER = """\
# Written by `headway demo`. The proxy and the daemon read the same file; each needs its own section only.
# Check it with: headway check -c {path}
"""


@dataclass(frozen=True, slots=True)
class DemoSetting:
    """What differs from one demo to the next."""

    folder: Path
    """Holds the certificates (in `certs`) and the configuration."""
    proxy_port: int
    daemon_port: int
    proxy_control_port: int
    daemon_control_port: int
    triton_url: str
    qualities: dict[str, float]
    """Quality of each model size."""
    traces_file: Path


def model_qualities(repository: Path) -> dict[str, float]:
    """The measured quality of each size, from the models' own metadata."""
    return {
        size: float(json.loads((repository / f"{ROUTE}-{size}" / "metadata.json").read_text())["quality"])
        for size in SIZES
    }


def write_configuration(setting: DemoSetting) -> Path:
    """Write `headway.yaml` into the folder; its path."""
    path = setting.folder / "headway.yaml"
    text = yaml.safe_dump(_document(setting), sort_keys=False, width=120, default_flow_style=None)
    path.write_text(HEADER.format(path=path) + text)
    return path


def _document(setting: DemoSetting) -> dict[str, Any]:
    certs = setting.folder / "certs"
    return {
        "classes": {load.name: _class(load.name, load.deadline_s) for load in CLASSES},
        "default_class": "standard",
        "scheduler": "edf",
        "proxy": {
            "listen": f"{HOST}:{setting.proxy_port}",
            "daemons": [f"{HOST}:{setting.daemon_port}"],
            "ca": str(certs / "ca.pem"),
            "token_file": str(certs / "token"),
            "control_listen": f"{HOST}:{setting.proxy_control_port}",
        },
        "daemon": {
            "listen": f"{HOST}:{setting.daemon_port}",
            "cert": str(certs / "daemon.pem"),
            "key": str(certs / "daemon.key"),
            "token_file": str(certs / "token"),
            "control_listen": f"{HOST}:{setting.daemon_control_port}",
            "tritons": {"a": {"url": setting.triton_url}},
            "routes": {route: _route(route, setting.qualities) for route in (ROUTE, STREAM_ROUTE)},
        },
        "telemetry": {"traces_file": str(setting.traces_file)},
    }


_CLASS_DETAILS: dict[str, dict[str, Any]] = {
    "realtime": {"priority": 0, "level": "high", "weight": 2},
    "standard": {"priority": 1, "weight": 1},
    "bulk": {"priority": 2, "weight": 1},
}


def _class(name: str, deadline_s: float) -> dict[str, Any]:
    return {"deadline": f"{deadline_s:g}s", **_CLASS_DETAILS[name]}


def _route(route: str, qualities: dict[str, float]) -> dict[str, Any]:
    candidates = [
        {
            "triton": "a",
            "model": f"{route}-{size}",
            "quality": qualities[size],
            "profile": str(SHIPPED / f"demo-{route}-{size}.yaml"),
        }
        for size in SIZES
        if size in qualities
    ]
    return {"policy": POLICY, "candidates": candidates}
