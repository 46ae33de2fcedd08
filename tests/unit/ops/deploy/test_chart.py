"""The Helm chart as files: values, schema and templates agree. What it renders: test_chart_rendered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.deploy.metrics_used import OPS
from proxy.config.load import load_config

CHART = OPS / "helm" / "headway"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").iterdir())}
ACTIONS = {name: re.findall(r"\{\{-?(?!/\*)(.*?)-?\}\}", text, re.DOTALL) for name, text in TEMPLATES.items()}

WHOLE = ("config",)
"""Values that are handed on as they are."""
INDIRECT = {
    "proxy.podDisruptionBudget.enabled",
    "proxy.podDisruptionBudget.maxUnavailable",
    "daemon.podDisruptionBudget.enabled",
    "daemon.podDisruptionBudget.maxUnavailable",
    "certificates.keys.ca",
    "certificates.keys.cert",
    "certificates.keys.key",
}
"""Read by `get`, with a name that a variable holds."""


def _leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        here = f"{path}{key}"
        if isinstance(value, dict) and value and here not in WHOLE:
            yield from _leaves(value, f"{here}.")
        else:
            yield here


def _used() -> set[str]:
    """The values that templates name, through variables and helpers' arguments too."""
    used: set[str] = set()
    for actions in ACTIONS.values():
        joined = " ".join(actions)
        used.update(re.findall(r"\.Values\.([\w.]+)", joined))
        for variable, path in re.findall(r"\$(\w+) := \.Values\.([\w.]+)", joined):
            used.update(f"{path}.{rest}" for rest in re.findall(rf"\${variable}\.([\w.]+)", joined))
    # headway.image takes the whole of an image.
    for path in re.findall(r'"image" \.Values\.([\w.]+)', " ".join(TEMPLATES.values())):
        used.update({f"{path}.repository", f"{path}.tag"})
    return used


def test_every_value_that_templates_name_exists() -> None:
    for path in _used():
        value: Any = VALUES
        for key in path.split("."):
            assert isinstance(value, dict), path
            assert key in value or path.startswith(WHOLE), path
            value = value.get(key, {})


def test_every_value_is_used() -> None:
    used = _used() | INDIRECT
    idle = [leaf for leaf in _leaves(VALUES) if not any(leaf == path or leaf.startswith(f"{path}.") for path in used)]
    assert idle == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    def names(schema: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, part in schema.get("properties", {}).items():
            here = f"{path}{key}"
            yield here
            if here not in WHOLE and part.get("additionalProperties") is False:
                yield from names(part, f"{here}.")

    def keys(values: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, value in values.items():
            yield f"{path}{key}"
            if isinstance(value, dict) and f"{path}{key}" in closed:
                yield from keys(value, f"{path}{key}.")

    known = set(names(SCHEMA))
    closed = {path.rpartition(".")[0] for path in known}
    optional = {"global"} | {path for path in known if ".resources." in path}
    assert known - optional == {path for path in keys(VALUES) if ".resources." not in path}


def test_every_helper_that_is_called_is_defined() -> None:
    defined = set(re.findall(r'define "([\w.]+)"', TEMPLATES["_helpers.tpl"]))
    called = {name for text in TEMPLATES.values() for name in re.findall(r'include "([\w.]+)"', text)}
    assert called == defined


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_block_is_closed(name: str) -> None:
    depth = 0
    for action in ACTIONS[name]:
        word = action.split(maxsplit=1)[0]
        depth += (word in {"if", "with", "range", "define"}) - (word == "end")
        assert depth >= 0
    assert depth == 0
    assert TEMPLATES[name].count("{{") == TEMPLATES[name].count("}}")


def test_files_that_templates_read_exist() -> None:
    files = re.findall(r'\.Files\.Get "([^"]+)"', " ".join(TEMPLATES.values()))
    assert sorted(files) == ["files/alerts.yaml", "files/dashboard.json"]
    assert all((CHART / file).is_file() for file in files)


def test_headway_takes_the_default_configuration(tmp_path: Path) -> None:
    document = json.loads(json.dumps(VALUES["config"]))
    document["proxy"]["daemons"] = ["headway-daemons.inference.svc:4433"]
    file = tmp_path / "headway.yaml"
    file.write_text(yaml.safe_dump(document))
    environment = {"HEADWAY_PROXY__DRAIN": "30s", "HEADWAY_DAEMON__DRAIN": "30s"}
    config = load_config(file, environment=environment, check_files=False)
    assert str(config.require_proxy().listen) == "0.0.0.0:8001"
    assert str(config.require_daemon().listen) == "0.0.0.0:4433"
    assert str(config.telemetry.metrics_listen) == "0.0.0.0:9464"


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (OPS.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
    assert chart["name"] == CHART.name
