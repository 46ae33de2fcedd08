"""The Helm chart as Helm renders it, by Helm's own code (helm-python-sdk), against Kubernetes' schemas."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from ops.deploy.metrics_used import ALERTS, DASHBOARD, OPS
from proxy.config import Available
from proxy.config.load import load_config
from proxy.http2.health import LIVENESS

helm: Any = helm_python  # without types

CHART = OPS / "helm" / "headway"
DQN = Available(policies=("dqn",))
Values = dict[str, Any]
Manifest = dict[str, Any]

SMALLEST: Values = {
    "certificates": {"existingSecret": "headway-certs"},
    "triton": {"modelRepository": "/models"},
}
_POD: Values = {
    "env": [{"name": "TZ", "value": "UTC"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"x": "y"},
    "nodeSelector": {"pool": "inference"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "high",
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
}
EVERYTHING: Values = {
    "imagePullSecrets": [{"name": "registry"}],
    "certificates": {
        "certManager": {"enabled": True, "issuerRef": {"name": "ca"}, "dnsNames": ["gpu.example.org"]},
    },
    "token": {"existingSecret": "headway-token"},
    "proxy": {
        **_POD,
        "tls": {"existingSecret": "edge-tls"},
        "autoscaling": {"enabled": False},
        "service": {"headless": True, "annotations": {"a": "b"}},
    },
    "daemon": {
        **_POD,
        "replicas": 3,
        "drainSeconds": 120,
        "service": {
            "enabled": True,
            "nodePort": 30433,
            "annotations": {"a": "b"},
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
        },
    },
    "triton": {
        "modelRepository": "s3://models",
        "args": ["--metrics-interval-ms=1000"],
        "env": [{"name": "AWS_REGION", "value": "x"}],
        "envFrom": [{"secretRef": {"name": "s3"}}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    },
    "networkPolicy": {
        "enabled": True,
        "clients": [{"namespaceSelector": {}}],
        "proxies": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "metrics": [{"namespaceSelector": {}}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
    "config": {
        "telemetry": {"otlp_endpoint": "http://collector:4317"},
        "daemon": {
            "routes": {
                "llm": {
                    "policy": "dqn",
                    "candidates": [
                        {"triton": "a", "model": name, "quality": 0.5, "profile": f"profiles/{name}.yaml"}
                        for name in ("llm-large", "headway")
                    ],
                }
            }
        },
    },
    "profiles": {"llm-large": "latency: {1: 0.5}\n", "headway": "latency: {1: 0.1}\n"},
}
CLIENTS_SIDE: Values = {
    "certificates": {"existingSecret": "headway-certs"},
    "daemon": {"enabled": False},
    "config": {"proxy": {"daemons": ["gpu.example.org:4433"]}},
}
GPU_SIDE: Values = {**SMALLEST, "proxy": {"enabled": False}, "daemon": {"service": {"enabled": True}}}
SETTINGS = {"smallest": SMALLEST, "everything": EVERYTHING, "clients": CLIENTS_SIDE, "gpu": GPU_SIDE}

CUSTOM = {"Certificate", "ServiceMonitor", "PrometheusRule"}
"""Kinds that Kubernetes itself does not know: cert-manager's and the Prometheus operator's."""
KUBERNETES = ("1.29", "1.33")
"""The oldest that Chart.yaml takes, and a later one."""


def _render(values: Values) -> list[Manifest]:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        files = chart.render(values, name="headway", namespace="inference")
    return [
        manifest
        for path, text in files.items()
        if path.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Manifest]]:
    return {name: _render(values) for name, values in SETTINGS.items()}


def _one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def _pod(manifests: list[Manifest], component: str) -> Manifest:
    pod: Manifest = _one(manifests, "Deployment", f"headway-{component}")["spec"]["template"]
    return pod


def _config(manifests: list[Manifest], folder: Path) -> Path:
    file = folder / "headway.yaml"
    file.write_text(_one(manifests, "ConfigMap", "headway")["data"]["headway.yaml"])
    return file


@pytest.mark.parametrize("name", SETTINGS)
def test_helm_lint_finds_nothing(name: str) -> None:
    report = helm.lint(CHART, SETTINGS[name], strict=True, namespace="inference", kube_version="v1.33.0")
    findings = [message for message in report["messages"] if message["severity"] > 1]
    assert (report["errors"], findings) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_kubernetes_knows_every_field(name: str, rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(item for item in rendered[name] if item["kind"] not in CUSTOM))
    versions = [argument for version in KUBERNETES for argument in ("-k", version)]
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", *versions, str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (run.stdout + run.stderr).splitlines() if not line.startswith("INFO ")]
    assert (run.returncode, lines) == (0, [])


def test_what_each_installation_has(rendered: dict[str, list[Manifest]]) -> None:
    kinds = {name: sorted(f"{item['kind']}/{item['metadata']['name']}" for item in rendered[name]) for name in SETTINGS}
    assert kinds["smallest"] == [
        "ConfigMap/headway",
        "Deployment/headway-daemon",
        "Deployment/headway-proxy",
        "HorizontalPodAutoscaler/headway-proxy",
        "PodDisruptionBudget/headway-daemon",
        "PodDisruptionBudget/headway-proxy",
        "Service/headway-daemons",
        "Service/headway-proxy",
    ]
    assert set(kinds["everything"]) - set(kinds["smallest"]) == {
        "Certificate/headway-daemon",
        "ConfigMap/headway-dashboard",
        "NetworkPolicy/headway-daemon",
        "NetworkPolicy/headway-proxy",
        "PrometheusRule/headway",
        "Service/headway-daemon",
        "ServiceMonitor/headway-daemon",
        "ServiceMonitor/headway-proxy",
    }
    assert not [line for line in kinds["clients"] if "daemon" in line]
    assert not [line for line in kinds["gpu"] if "proxy" in line]


@pytest.mark.parametrize("name", SETTINGS)
def test_services_and_budgets_find_their_pods(name: str, rendered: dict[str, list[Manifest]]) -> None:
    manifests = rendered[name]
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in manifests if item["kind"] == "Deployment"]
    for item in manifests:
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"])
        if selector is not None:
            wanted = selector(item["spec"]).items()
            assert len([pod for pod in labels if wanted <= pod.items()]) == 1, item["metadata"]["name"]


@pytest.mark.parametrize("name", SETTINGS)
def test_ports_that_services_name_are_those_of_a_container(name: str, rendered: dict[str, list[Manifest]]) -> None:
    pods = [item["spec"]["template"]["spec"] for item in rendered[name] if item["kind"] == "Deployment"]
    ports = {
        (key, port["protocol"])
        for pod in pods
        for container in [*pod["containers"], *pod.get("initContainers", [])]
        for port in container["ports"]
        for key in (port["name"], port["containerPort"])
    }
    for item in rendered[name]:
        if item["kind"] == "Service":
            assert {(port["targetPort"], port["protocol"]) for port in item["spec"]["ports"]} <= ports


def test_the_tunnel_is_open_over_udp_and_tcp(rendered: dict[str, list[Manifest]]) -> None:
    for service in ("headway-daemons", "headway-daemon"):
        spec = _one(rendered["everything"], "Service", service)["spec"]
        protocols = {port["protocol"] for port in spec["ports"] if port["port"] == 4433}
        assert protocols == {"UDP", "TCP"}
    assert _one(rendered["everything"], "Service", "headway-daemons")["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("name", SETTINGS)
def test_headway_takes_the_configuration(name: str, rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
    file = _config(rendered[name], tmp_path)
    for item in rendered[name]:
        if item["kind"] == "Deployment":
            (container,) = item["spec"]["template"]["spec"]["containers"]
            role, *_ = container["args"]
            environment = {entry["name"]: entry["value"] for entry in container["env"]}
            config = load_config(file, roles=[role], environment=environment, available=DQN, check_files=False)
            settings = config.require_proxy() if role == "proxy" else config.require_daemon()
            grace = item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace >= settings.drain_s + 15


def test_proxies_look_for_the_daemons_in_dns_by_the_name_in_their_certificate(
    rendered: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    config = yaml.safe_load(_config(rendered["everything"], tmp_path).read_text())
    assert config["proxy"]["daemons"] == ["dns:///headway-daemons.inference.svc:4433"]
    assert _one(rendered["everything"], "Certificate", "headway-daemon")["spec"]["dnsNames"] == [
        "headway-daemons.inference.svc",
        "gpu.example.org",
    ]
    elsewhere = yaml.safe_load(_config(rendered["clients"], tmp_path).read_text())
    assert elsewhere["proxy"]["daemons"] == ["gpu.example.org:4433"]


@pytest.mark.parametrize("name", SETTINGS)
def test_files_that_the_configuration_names_are_mounted(
    name: str, rendered: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    config = yaml.safe_load(_config(rendered[name], tmp_path).read_text())
    for role in ("proxy", "daemon"):
        if role not in config:
            continue
        (volume,) = [item for item in _pod(rendered[name], role)["spec"]["volumes"] if item["name"] == "config"]
        mounted = {
            item["path"]
            for source in volume["projected"]["sources"]
            for item in source.get("secret", source.get("configMap"))["items"]
        }
        assert "headway.yaml" in mounted
        section = config[role]
        files = {section[key] for key in ("ca", "cert", "key", "token_file") if key in section}
        files.update(section.get("tls", {}).values())
        for route in section.get("routes", {}).values():
            files.update(candidate["profile"] for candidate in route["candidates"])
        assert files <= mounted
        if role == "proxy":
            assert "certs/daemon.key" not in mounted


def test_profiles_arrive_as_they_are(rendered: dict[str, list[Manifest]]) -> None:
    kept = _one(rendered["everything"], "ConfigMap", "headway")["data"]
    (volume,) = [item for item in _pod(rendered["everything"], "daemon")["spec"]["volumes"] if item["name"] == "config"]
    (own,) = [source["configMap"] for source in volume["projected"]["sources"] if "configMap" in source]
    arrived = {item["path"]: kept[item["key"]] for item in own["items"]}
    assert {f"profiles/{name}.yaml": text for name, text in EVERYTHING["profiles"].items()}.items() <= arrived.items()
    assert arrived["headway.yaml"].startswith("classes:")


def test_a_change_of_the_configuration_restarts_the_pods(rendered: dict[str, list[Manifest]]) -> None:
    other = _render({**SMALLEST, "config": {"scheduler": "adaptive"}})
    for component in ("proxy", "daemon"):
        before, after = (
            _pod(manifests, component)["metadata"]["annotations"]["checksum/config"]
            for manifests in (rendered["smallest"], other)
        )
        assert before != after


def test_triton_is_there_before_the_daemon_and_after_it(rendered: dict[str, list[Manifest]]) -> None:
    (triton,) = _pod(rendered["smallest"], "daemon")["spec"]["initContainers"]
    assert triton["restartPolicy"] == "Always"
    assert triton["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert triton["args"][0] == "--model-repository=/models"


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_a_pod_is_ready_when_its_health_service_says_so(rendered: dict[str, list[Manifest]], role: str) -> None:
    (container,) = _pod(rendered["smallest"], role)["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment[f"HEADWAY_{role.upper()}__HEALTH"] == "0.0.0.0:8003"
    assert container["readinessProbe"]["grpc"] == {"port": 8003}
    assert container["livenessProbe"]["grpc"] == {"port": 8003, "service": LIVENESS}


def test_headway_does_not_run_as_root(rendered: dict[str, list[Manifest]]) -> None:
    for component in ("proxy", "daemon"):
        (container,) = _pod(rendered["everything"], component)["spec"]["containers"]
        assert container["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_alerts_and_dashboard_arrive_as_they_are(rendered: dict[str, list[Manifest]]) -> None:
    rule = _one(rendered["everything"], "PrometheusRule", "headway")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    dashboard = _one(rendered["everything"], "ConfigMap", "headway-dashboard")
    assert dashboard["data"]["headway.json"].strip() == DASHBOARD.read_text(encoding="utf-8").strip()


def test_scraped_processes_have_the_names_that_the_alerts_know(rendered: dict[str, list[Manifest]]) -> None:
    jobs = {
        relabeling["replacement"]
        for item in rendered["everything"]
        if item["kind"] == "ServiceMonitor"
        for endpoint in item["spec"]["endpoints"]
        for relabeling in endpoint["relabelings"]
    }
    assert jobs == {"headway-proxy", "headway-daemon", "triton"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"triton": {"modelRepository": "/models"}}, "certificates.existingSecret is not set"),
        ({"certificates": {"existingSecret": "x"}}, "triton.modelRepository is not set"),
        ({"certificates": {"existingSecret": "x"}, "daemon": {"enabled": False}}, "config.proxy.daemons is not set"),
        ({**EVERYTHING, "token": {"existingSecret": ""}}, "token.existingSecret is not set"),
    ],
    ids=["certificates", "models", "daemons", "token"],
)
def test_what_is_missing_is_said(values: Values, what: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(what)):
        _render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"proxy": {"replica": 3}},
        {"proxy": {"autoscaling": {"maxReplicas": 0}}},
        {"daemon": {"service": {"type": "ExternalName"}}},
        {"tritn": {}},
    ],
)
def test_a_value_that_does_not_exist_is_refused(values: Values) -> None:
    with pytest.raises(helm.HelmError):
        _render({**SMALLEST, **values})
