"""The container files: what they copy exists and is enough to build from, and what runs is headway alone."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from ops.deploy.metrics_used import OPS

ROOT = OPS.parent
TEXT = (OPS / "containers" / "Containerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n\s*", "", TEXT).splitlines()


def _stages() -> dict[str, list[str]]:
    """Each stage's instructions, those of the stages that it is made from included."""
    stages: dict[str, list[str]] = {}
    name = ""
    for line in LINES:
        if start := re.fullmatch(r"FROM (?P<base>\S+) AS (?P<name>\S+)", line):
            name = start["name"]
            stages[name] = list(stages.get(start["base"], []))
        elif name and line and not line.startswith("#"):
            stages[name].append(line)
    return stages


STAGES = _stages()


def _copied() -> set[str]:
    sources: set[str] = set()
    for line in STAGES["build"]:
        if line.startswith("COPY "):
            *files, _ = line.removeprefix("COPY ").split()
            sources.update(files)
    return sources


def test_what_is_copied_exists() -> None:
    assert [path for path in _copied() if not (ROOT / path).exists()] == []


def test_what_is_copied_is_all_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]}
    needed.update(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    assert _copied() == needed


@pytest.mark.parametrize(("role", "package"), [("proxy", "."), ("daemon", "'.[daemon]'")])
def test_an_image_has_what_its_role_needs_and_no_more(role: str, package: str) -> None:
    installs = [line for line in STAGES[f"build-{role}"] if "pip install" in line]
    assert installs == [f"RUN /opt/headway/bin/pip install -c constraints.txt {package}"]
    assert f"COPY --from=build-{role} /opt/headway /opt/headway" in STAGES[role]
    assert [line for line in STAGES[role] if "pip" in line or "apt" in line] == []


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_headway_is_the_process_that_gets_the_signal(role: str) -> None:
    assert "STOPSIGNAL SIGTERM" in STAGES[role]
    entry = [line.partition(" ")[2] for line in STAGES[role] if line.startswith("ENTRYPOINT")]
    command = [line.partition(" ")[2] for line in STAGES[role] if line.startswith("CMD")]
    assert [json.loads(part) for part in entry + command] == [["headway"], [role]]


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_it_does_not_run_as_root(role: str) -> None:
    assert [line for line in STAGES[role] if line.startswith("USER")] == ["USER 10001:10001"]


@pytest.mark.parametrize(("role", "ports"), [("proxy", "8001/tcp 9464/tcp"), ("daemon", "4433/udp 4433/tcp 9464/tcp")])
def test_ports_are_those_of_the_documentation(role: str, ports: str) -> None:
    assert f"EXPOSE {ports}" in STAGES[role]


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_the_health_check_asks_where_the_control_service_is(role: str) -> None:
    (check,) = [line for line in STAGES[role] if line.startswith("HEALTHCHECK")]
    (control,) = [line for line in STAGES[role] if "CONTROL_LISTEN" in line]
    key, _, address = control.removeprefix("ENV ").partition("=")
    assert key == f"HEADWAY_{role.upper()}__CONTROL_LISTEN"
    assert json.loads(check[check.index("[") :]) == ["headway", "ctl", "status", "--at", address]


def test_python_is_one_that_the_constraints_are_for() -> None:
    assert "ARG PYTHON=3.11-slim" in LINES
    assert "(CPython 3.11, Linux)" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
