"""The compose file and what it mounts: everything that it names exists, and headway takes its configuration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.deploy.metrics_used import ALERTS, OPS
from proxy.config import Available
from proxy.config.load import load_config

FOLDER = OPS / "compose"
FILE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = FILE["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
SOURCES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"]

LISTENS = {
    "proxy": {8001, 9464},
    "daemon": {4433, 9464},
    "triton": {8000, 8001, 8002},
    "jaeger": {4317, 4318, 16686},
    "prometheus": {9090},
    "grafana": {3000},
}
"""The ports on which each service listens: headway's by its configuration, the others' by their documentation."""


def _mounts(service: str) -> list[tuple[str, str]]:
    mounts = [mount.split(":") for mount in SERVICES[service].get("volumes", [])]
    return [(source, target) for source, target, *_ in mounts]


def test_what_an_operator_needs_is_there() -> None:
    assert SERVICES.keys() == {"certs", *LISTENS}


@pytest.mark.parametrize("service", SERVICES)
def test_every_mount_exists(service: str) -> None:
    for source, _ in _mounts(service):
        assert source in FILE["volumes"] or (FOLDER / source).exists(), source


@pytest.mark.parametrize("service", SERVICES)
def test_every_build_has_its_file_and_its_stage(service: str) -> None:
    build = SERVICES[service].get("build")
    if build is None:
        assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)*", SERVICES[service]["image"]), "a version, not latest"
        return
    text = (FOLDER / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    if "target" in build:
        assert re.search(rf"^FROM \S+ AS {build['target']}$", text, re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_can_be_waited_for(service: str) -> None:
    for other, wait in SERVICES[service].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert "restart" not in SERVICES[other]


def test_what_runs_on_comes_back_after_a_crash() -> None:
    assert [name for name in LISTENS if SERVICES[name].get("restart") != "unless-stopped"] == []


def test_ports_are_open_on_this_machine_only_and_listened_on() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            host, outside, inside = port.split(":")
            assert host == "127.0.0.1"
            assert outside == inside
            assert int(inside) in LISTENS[name]


def _addresses() -> list[str]:
    headway = (FOLDER / "headway.yaml").read_text(encoding="utf-8")
    found = re.findall(r"\b([a-z]+):(\d{4,5})\b", headway)
    found += [
        tuple(target.split(":"))
        for job in PROMETHEUS["scrape_configs"]
        for target in job["static_configs"][0]["targets"]
    ]
    found += re.findall(r"//(\w+):(\d+)", " ".join(source["url"] for source in SOURCES))
    found += re.findall(r"//(\w+):(\d+)", " ".join(SERVICES["triton"]["command"]))
    return [f"{host}:{port}" for host, port in found]


def test_services_call_one_another_where_they_listen() -> None:
    addresses = _addresses()
    assert {"daemon:4433", "triton:8001", "triton:8002", "jaeger:4317", "jaeger:4318", "proxy:9464"} <= set(addresses)
    for address in addresses:
        host, _, port = address.partition(":")
        assert int(port) in LISTENS[host], address


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder /etc/headway of a container."""
    (tmp_path / "headway.yaml").write_text((FOLDER / "headway.yaml").read_text())
    (tmp_path / "certs").mkdir()
    for name in ("ca.pem", "daemon.pem", "daemon.key"):
        (tmp_path / "certs" / name).touch()
    (tmp_path / "certs" / "token").write_text("a-token\n")
    for source, target in _mounts("daemon"):
        if target == "/etc/headway/profiles":
            (tmp_path / "profiles").symlink_to((FOLDER / source).resolve())
    return tmp_path


def test_headway_takes_its_configuration(installed: Path) -> None:
    containers = (OPS / "containers" / "Containerfile").read_text(encoding="utf-8")
    environment = dict(re.findall(r"(HEADWAY_\w+__\w+)=(\S+)", containers))
    available = Available(policies=("dqn",))
    config = load_config(
        installed / "headway.yaml", roles=["proxy", "daemon"], environment=environment, available=available
    )
    proxy, daemon = config.require_proxy(), config.require_daemon()
    assert str(proxy.listen) == "0.0.0.0:8001"
    assert [str(address) for address in proxy.daemons] == ["daemon:4433"]
    assert str(daemon.listen) == "0.0.0.0:4433"
    assert str(config.telemetry.metrics_listen) == "0.0.0.0:9464"
    assert config.telemetry.otlp_endpoint == "http://jaeger:4317"
    for route in daemon.routes.values():
        assert route.policy == "dqn"
        assert all(candidate.profile is not None for candidate in route.candidates), route.name
    for role, settings in (("proxy", proxy), ("daemon", daemon)):
        assert str(settings.control_listen) in SERVICES[role]["healthcheck"]["test"]
        assert settings.drain_s < float(SERVICES[role]["stop_grace_period"].removesuffix("s"))


def test_the_daemons_certificate_has_its_name() -> None:
    (command,) = SERVICES["certs"]["command"]
    assert command.endswith("headway certs --out /certs --host daemon")
    assert _mounts("certs") == [("certs", "/certs")]
    for role in ("proxy", "daemon"):
        assert ("certs", "/etc/headway/certs") in _mounts(role)


def test_every_route_names_a_demo_model() -> None:
    headway = yaml.safe_load((FOLDER / "headway.yaml").read_text(encoding="utf-8"))
    models = {path.name for path in (OPS.parent / "examples" / "models" / "repository").iterdir() if path.is_dir()}
    for route in headway["daemon"]["routes"].values():
        assert {candidate["model"] for candidate in route["candidates"]} <= models


def test_prometheus_loads_the_alert_rules() -> None:
    inside = [target for source, target in _mounts("prometheus") if (FOLDER / source).resolve() == ALERTS]
    assert inside == ["/etc/prometheus/alerts.yaml"]
    assert PROMETHEUS["rule_files"] == ["alerts.yaml"]
    assert "--config.file=/etc/prometheus/prometheus.yaml" in SERVICES["prometheus"]["command"]


def test_a_latency_opens_its_trace() -> None:
    prometheus, jaeger = SOURCES
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["datasourceUid"] == jaeger["uid"] == "jaeger"


@pytest.mark.slow
def test_the_compose_file_is_one() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run([*command, str(FOLDER / "compose.yaml")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
