"""Files, variables and flags → records, or a line for each problem (faults.md 44)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policies.traffic import TrafficClass
from proxy.config import (
    Address,
    Available,
    CandidateSettings,
    Config,
    ControlTlsSettings,
    DaemonSettings,
    Override,
    ProxySettings,
    RouteSettings,
    TelemetrySettings,
    TritonSettings,
    load_config,
)
from proxy.config.records import Role
from proxy.errors import ConfigError

FULL = """\
classes:
  realtime: {deadline: 1s, token_deadline: 1.8s, priority: 0, level: high, weight: 2}
  standard: {deadline: 2s, token_deadline: 1.8s, priority: 1, level: low,  weight: 1}
  bulk:     {deadline: 7s, token_deadline: 2.3s, priority: 2, level: low,  weight: 1, on_miss: fail}
default_class: standard
unknown_class: reject
scheduler: rr
proxy:
  listen: 0.0.0.0:8001
  daemons: [gpu-host:4433, "[fd00::7]:4433"]
  ca: certs/ca.pem
  token_file: certs/token
  batch_window: 5ms
  transport: tcp
  congestion_control: reno
  tls: {cert: certs/proxy.pem, key: certs/proxy.key, client_ca: certs/ca.pem}
  client_cert: certs/proxy.pem
  client_key: certs/proxy.key
  server_name: gpu
  max_message_bytes: 64MiB
  max_datagram_bytes: 1452
  stream_window: 2MiB
  drain: 10s
  health: 127.0.0.1:8003
  resolve_interval: 5s
  control_listen: 127.0.0.1:8009
daemon:
  listen: 0.0.0.0:4433
  cert: certs/daemon.pem
  key: certs/daemon.key
  token_file: certs/token
  client_ca: certs/ca.pem
  tritons:
    a: {url: localhost:8101, metrics: "http://localhost:8102/metrics"}
    b: {url: localhost:8201}
  default: a
  drain: 45s
  idle_timeout: 90s
  control_listen: 0.0.0.0:8010
  control_tls: {cert: certs/daemon.pem, key: certs/daemon.key, client_ca: certs/ca.pem}
  routes:
    llm:
      policy: static:llm-large
      candidates:
        - {triton: a, model: llm-large, quality: 0.71, profile: profiles/llm-large.yaml}
        - {triton: b, model: llm-small, quality: 0.48}
telemetry:
  otlp_endpoint: http://localhost:4317
  traces_file: traces.jsonl
  metrics_listen: 0.0.0.0:9464
"""

A_DAEMON = "host:port, port 1 to 65535, IPv6 as [::1]:port in quotes, or dns:///host:port for all addresses of a name"
"""What an entry of proxy.daemons may be."""

MINIMAL_PROXY = "proxy: {daemons: [gpu-host:4433]}\n"
MINIMAL_DAEMON = "daemon: {cert: certs/daemon.pem, key: certs/daemon.key, tritons: {a: {url: 'localhost:8101'}}}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the files that the configurations here name."""
    for name in ("ca.pem", "daemon.pem", "daemon.key", "proxy.pem", "proxy.key"):
        (tmp_path / "certs").mkdir(exist_ok=True)
        (tmp_path / "certs" / name).write_text("-", encoding="utf-8")
    (tmp_path / "certs" / "token").write_text("open-sesame\n", encoding="utf-8")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "llm-large.yaml").write_text(
        "{format: 1, model: llm-large, latency: {1: 0.1}}", encoding="utf-8"
    )
    return tmp_path


def load(home: Path, text: str, roles: Sequence[Role] = (), **more: Any) -> Config:
    path = home / "headway.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, roles=roles, **more)


def problems(home: Path, text: str, roles: Sequence[Role] = (), **more: Any) -> list[str]:
    """The lines about a file, its path shortened to F."""
    with pytest.raises(ConfigError) as error:
        load(home, text, roles, **more)
    return [line.replace(str(home / "headway.yaml"), "F").replace(str(home), "HOME") for line in error.value.problems]


def test_the_whole_file_becomes_records(home: Path) -> None:
    config = load(home, FULL)
    certs = home / "certs"
    assert config.traffic.classes == {
        "realtime": TrafficClass("realtime", 1.0, 1.8, 0, "high", 2.0, "deliver"),
        "standard": TrafficClass("standard", 2.0, 1.8, 1, "low", 1.0, "deliver"),
        "bulk": TrafficClass("bulk", 7.0, 2.3, 2, "low", 1.0, "fail"),
    }
    assert (config.traffic.default_class, config.traffic.unknown_class) == ("standard", "reject")
    assert config.scheduler == "rr"
    proxy = config.require_proxy()
    assert proxy.tls is not None
    assert (proxy.tls.cert, proxy.tls.key, proxy.tls.client_ca) == (
        certs / "proxy.pem",
        certs / "proxy.key",
        certs / "ca.pem",
    )
    assert proxy == ProxySettings(
        daemons=(Address("gpu-host", 4433), Address("fd00::7", 4433)),
        listen=Address("0.0.0.0", 8001),
        tls=proxy.tls,
        resolve_interval_s=5.0,
        health=Address("127.0.0.1", 8003),
        ca=certs / "ca.pem",
        server_name="gpu",
        client_cert=certs / "proxy.pem",
        client_key=certs / "proxy.key",
        token_file=certs / "token",
        transport="tcp",
        congestion_control="reno",
        batch_window_s=0.005,
        max_message_bytes=67108864,
        max_datagram_bytes=1452,
        stream_window_bytes=2097152,
        drain_s=10.0,
        control_listen=Address("127.0.0.1", 8009),
    )
    assert config.require_daemon() == DaemonSettings(
        cert=certs / "daemon.pem",
        key=certs / "daemon.key",
        tritons={
            "a": TritonSettings("a", Address("localhost", 8101), "http://localhost:8102/metrics"),
            "b": TritonSettings("b", Address("localhost", 8201)),
        },
        listen=Address("0.0.0.0", 4433),
        token_file=certs / "token",
        client_ca=certs / "ca.pem",
        default="a",
        routes={
            "llm": RouteSettings(
                "llm",
                "static:llm-large",
                (
                    CandidateSettings("a", "llm-large", 0.71, home / "profiles" / "llm-large.yaml"),
                    CandidateSettings("b", "llm-small", 0.48),
                ),
            )
        },
        idle_timeout_s=90.0,
        drain_s=45.0,
        control_listen=Address("0.0.0.0", 8010),
        control_tls=ControlTlsSettings(certs / "daemon.pem", certs / "daemon.key", certs / "ca.pem"),
    )
    assert config.telemetry == TelemetrySettings(
        "http://localhost:4317", home / "traces.jsonl", Address("0.0.0.0", 9464)
    )


def test_defaults(home: Path) -> None:
    config = load(home, MINIMAL_PROXY + MINIMAL_DAEMON)
    assert list(config.traffic.classes.values()) == [
        TrafficClass("realtime", 1.0, 1.8, 0, "high", 2.0, "deliver"),
        TrafficClass("standard", 2.0, 1.8, 1, "low", 1.0, "deliver"),
        TrafficClass("bulk", 7.0, 2.3, 2, "low", 1.0, "deliver"),
    ]
    assert (config.traffic.default_class, config.traffic.unknown_class, config.scheduler) == (
        "standard",
        "default",
        "edf",
    )
    proxy = config.require_proxy()
    assert proxy.listen == Address("127.0.0.1", 8001)
    assert (proxy.transport, proxy.congestion_control) == ("quic", "bbr")
    assert (proxy.batch_window_s, proxy.drain_s) == (0.0, 30.0)
    assert (proxy.max_message_bytes, proxy.max_datagram_bytes) == (268435456, None)
    assert proxy.control_listen is None
    daemon = config.require_daemon()
    assert daemon.listen == Address("127.0.0.1", 4433)
    assert daemon.default == "a"
    assert (daemon.routes, daemon.token_file) == ({}, None)
    assert config.telemetry.otlp_endpoint is None
    assert config.telemetry.traces_file == Path.cwd() / "headway-traces.jsonl"


def test_who_only_looks_up_an_address_needs_no_files(home: Path) -> None:
    text = "proxy: {daemons: [gpu:1], ca: gone.pem, token_file: gone, control_listen: 'localhost:8009'}\n"
    assert load(home, text, check_files=False).require_proxy().control_listen == Address("localhost", 8009)
    assert [line.split(": ")[1] for line in problems(home, text)] == ["proxy.ca", "proxy.token_file"]


def test_the_sections_that_are_not_there_are_none(home: Path) -> None:
    config = load(home, MINIMAL_PROXY)
    assert config.daemon is None
    with pytest.raises(ConfigError, match="daemon: missing"):
        config.require_daemon()
    config = load(home, MINIMAL_DAEMON)
    assert config.proxy is None
    with pytest.raises(ConfigError, match="proxy: missing"):
        config.require_proxy()


def test_everything_wrong_comes_at_once_by_line(home: Path) -> None:
    text = """\
classes:
  realtime: {deadlin: 1s, priority: high}
  standard: {deadline: -2s, level: middle}
  realtime: {deadline: 3s, weight: -1}
default_class: standart
schedular: edf
proxy:
  daemons: [gpu-host]
  ca: nope.pem
  drain: 5
daemon:
  listen: 0.0.0.0:4433
  cert: certs
  tritons: {a: {url: "localhost:8101"}, b: {url: 5}}
  routes:
    llm:
      policy: greedi
      candidates:
        - {triton: c, model: llm-large, quality: 1.71}
telemetry: yes
"""
    assert problems(home, text) == [
        (
            "F:3: classes.standard.deadline: '-2s' is negative; "
            "allowed: a duration such as 50ms, 1.8s or 2m, more than 0, or none"
        ),
        "F:3: classes.standard.level: 'middle' is none of them; allowed: high, low",
        "F:4: classes.realtime: is given twice, first at F:2",
        "F:4: classes.realtime.weight: '-1' is negative; allowed: a number, 0 or more",
        "F:5: default_class: there is no class 'standart', did you mean 'standard'?; allowed: realtime, standard",
        (
            "F:6: schedular: unknown key, did you mean 'scheduler'?; "
            "allowed: proxy, daemon, telemetry, classes, default_class, unknown_class, scheduler"
        ),
        f"F:8: proxy.daemons[0]: 'gpu-host' has no port; allowed: {A_DAEMON}",
        "F:9: proxy.ca: 'nope.pem' (HOME/nope.pem) does not exist; allowed: an existing file",
        "F:10: proxy.drain: '5' has no unit; allowed: a duration such as 50ms, 1.8s or 2m, 0 or more",
        "F:11: daemon.key: is missing; allowed: an existing file",
        "F:11: daemon.default: is missing: calls that no route claims go to one of several tritons; allowed: a, b",
        (
            "F:12: daemon.listen: 0.0.0.0:4433 is open to other machines, and there is no daemon.token_file that says "
            "whom to let in; allowed: an address on loopback, or a token_file (`headway certs` makes one)"
        ),
        "F:13: daemon.cert: 'certs' (HOME/certs) is a directory; allowed: an existing file",
        (
            "F:14: daemon.tritons.b.url: '5' is not an address; "
            "allowed: host:port, port 1 to 65535, IPv6 as [::1]:port in quotes"
        ),
        "F:17: daemon.routes.llm.policy: 'greedi' is not a policy; allowed: static:<model>, round_robin, least_loaded",
        "F:19: daemon.routes.llm.candidates[0].quality: '1.71' is out of range; allowed: a number from 0 to 1",
        "F:19: daemon.routes.llm.candidates[0].triton: there is no triton 'c'; allowed: a, b",
        "F:20: telemetry: 'yes' is not a mapping; allowed: key: value",
    ]


ROUTES = """\
daemon:
  cert: certs/daemon.pem
  key: certs/daemon.key
  tritons: {a: {url: "localhost:8101"}}
  routes:
    llm:
"""

WRONG = [
    (
        "",
        (
            "F:1: has no proxy and no daemon section; allowed: "
            "proxy, daemon, telemetry, classes, default_class, unknown_class, scheduler"
        ),
    ),
    (
        MINIMAL_PROXY + "classes: {}\n",
        (
            "F:2: classes: names no class; allowed: {<class>: {deadline: …, "
            "[token_deadline: …], [priority: …], [level: …], [weight: …], [on_miss: …]}}"
        ),
    ),
    (
        MINIMAL_PROXY + "classes: {a: {deadline: 1s}, b: {deadline: 2s}}\n",
        "F:1: default_class: is missing; allowed: a, b",
    ),
    (
        MINIMAL_PROXY + "classes: {a b: {deadline: 1s}, standard: {deadline: 1s}}\n",
        (
            "F:2: classes.a b: 'a b' is not a name of a class; "
            "allowed: letters, digits, '.', '_' and '-', up to 128, starting with a letter or digit"
        ),
    ),
    (
        MINIMAL_PROXY + "scheduler: adaptive\n",
        "F:2: scheduler: 'adaptive' is not available in this version; allowed: rr, edf",
    ),
    (
        "proxy: {daemons: []}\n",
        f"F:1: proxy.daemons: is empty; allowed: a list, each {A_DAEMON}",
    ),
    (
        "proxy: {daemons: gpu:1}\n",
        f"F:1: proxy.daemons: 'gpu:1' is not a list; allowed: a list, each {A_DAEMON}",
    ),
    ("proxy: {daemons: [gpu:1, ]}\nproxy: {daemons: [gpu:1]}\n", "F:2: proxy: is given twice, first at F:1"),
    (
        "proxy: {daemons: [gpu:1], control_listen: '0.0.0.0:8009'}\n",
        (
            "F:1: proxy.control_listen: 0.0.0.0:8009 is open to other machines, and there is no proxy.control_tls that "
            "says whom to let in; allowed: an address on loopback, or control_tls: {cert: …, key: …, client_ca: …} "
            "beside it"
        ),
    ),
    (
        (
            "proxy: {daemons: [gpu:1], control_listen: '10.0.0.7:8009', "
            "control_tls: {cert: certs/proxy.pem, key: certs/proxy.key}}\n"
        ),
        "F:1: proxy.control_tls.client_ca: is missing; allowed: an existing file",
    ),
    (
        (
            "proxy: {daemons: [gpu:1], "
            "control_tls: {cert: certs/proxy.pem, key: certs/proxy.key, client_ca: certs/ca.pem}}\n"
        ),
        "F:1: proxy.control_tls: needs control_listen beside it",
    ),
    (
        MINIMAL_DAEMON.replace("}\n", ", control_listen: 'gpu-host:8010'}\n"),
        (
            "F:1: daemon.control_listen: gpu-host:8010 is open to other machines, and there is no daemon.control_tls "
            "that says whom to let in; allowed: an address on loopback, or control_tls: "
            "{cert: …, key: …, client_ca: …} beside it"
        ),
    ),
    (
        "proxy: {daemons: [gpu:1], listen: '127.0.0.1:8001', health: '127.0.0.1:8001'}\n",
        "F:1: proxy.health: 127.0.0.1:8001 is the address of proxy.listen; allowed: another port",
    ),
    (
        MINIMAL_DAEMON.replace("}\n", ", health: 'gpu:8003', metrics_listen: 'gpu:8003'}\n"),
        "F:1: daemon.metrics_listen: gpu:8003 is the address of daemon.health; allowed: another port",
    ),
    (
        "proxy: {daemons: [gpu:1, host:1, gpu:1]}\n",
        "F:1: proxy.daemons[2]: gpu:1 is named twice, first as proxy.daemons[0]",
    ),
    (
        "proxy: {daemons: [gpu:1, ~]}\n",
        f"F:1: proxy.daemons[1]: is empty; allowed: {A_DAEMON}",
    ),
    (
        "proxy: {daemons: [gpu:1], congestion_control: vegas}\n",
        "F:1: proxy.congestion_control: 'vegas' is not a congestion control; allowed: reno, cubic, bbr",
    ),
    ("proxy: {daemons: [gpu:1], client_cert: certs/proxy.pem}\n", "F:1: proxy.client_cert: needs client_key beside it"),
    ("proxy: {daemons: [gpu:1], client_key: certs/proxy.key}\n", "F:1: proxy.client_key: needs client_cert beside it"),
    (
        "proxy: {daemons: [gpu:1], tls: {cert: certs/proxy.pem}}\n",
        "F:1: proxy.tls.key: is missing; allowed: an existing file",
    ),
    (
        "proxy: {daemons: [gpu:1], ca: certs/gone.pem}\n",
        "F:1: proxy.ca: 'certs/gone.pem' (HOME/certs/gone.pem) does not exist; allowed: an existing file",
    ),
    ("daemon: 7\n", "F:1: daemon: '7' is not a mapping; allowed: key: value"),
    (
        ROUTES + "      policy: static:small\n      candidates: [{triton: a, model: large, quality: 1}]\n",
        "F:7: daemon.routes.llm.policy: 'small' is none of the candidates; allowed: static:large",
    ),
    (
        ROUTES + "      policy: dqn\n      candidates: [{triton: a, model: large, quality: 1}]\n",
        (
            "F:7: daemon.routes.llm.policy: 'dqn' is not available in this version; "
            "allowed: static:<model>, round_robin, least_loaded"
        ),
    ),
    (
        ROUTES + "      candidates: [{triton: a, model: large, quality: 1}]\n",
        ("F:6: daemon.routes.llm.policy: is missing; allowed: static:<model>, round_robin, least_loaded"),
    ),
    (
        ROUTES + "      policy: round_robin\n      candidates: []\n",
        (
            "F:8: daemon.routes.llm.candidates: is empty; "
            "allowed: a list, each {triton: …, model: …, quality: …, [profile: …]}"
        ),
    ),
    (
        ROUTES + "      policy: round_robin\n      candidates:\n        - {triton: a, model: m, quality: 1}\n"
        "        - {triton: a, model: m, quality: 0.5}\n",
        "F:10: daemon.routes.llm.candidates[1]: m on a is named twice, first as daemon.routes.llm.candidates[0]",
    ),
    (
        ROUTES + "      policy: round_robin\n      candidates: [{triton: aa, model: m, quality: 1}]\n",
        "F:8: daemon.routes.llm.candidates[0].triton: there is no triton 'aa', did you mean 'a'?; allowed: a",
    ),
]


@pytest.mark.parametrize(("text", "line"), WRONG, ids=range(len(WRONG)))
def test_one_wrong_thing_is_one_line(home: Path, text: str, line: str) -> None:
    assert problems(home, text) == [line]


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\n", "holds no token"), (b"a b\n", "line 1 is not a token"), (b"\xff\n", "is not text")],
)
def test_a_token_file_without_a_token_is_refused(home: Path, content: bytes, what: str) -> None:
    (home / "certs" / "token").write_bytes(content)
    assert problems(home, "proxy: {daemons: [gpu:1], token_file: certs/token}\n") == [
        f"F:1: proxy.token_file: HOME/certs/token {what}; allowed: a token in each line, visible ASCII"
    ]


@pytest.mark.parametrize("listen", ["0.0.0.0:4433", "'[::]:4433'", "gpu-host:4433", "10.0.0.7:0"])
def test_a_daemon_beyond_loopback_needs_a_token(home: Path, listen: str) -> None:
    text = MINIMAL_DAEMON.replace("{cert", "{listen: " + listen + ", cert")
    (line,) = problems(home, text)
    assert line.startswith("F:1: daemon.listen: ")
    assert "no daemon.token_file" in line
    load(home, text.replace("{listen", "{token_file: certs/token, listen"))


@pytest.mark.parametrize("listen", ["127.0.0.1:4433", "localhost:0", "'[::1]:4433'"])
def test_a_daemon_on_loopback_needs_none(home: Path, listen: str) -> None:
    load(home, MINIMAL_DAEMON.replace("{cert", "{listen: " + listen + ", cert"))


def test_flag_over_variable_over_file_over_default(home: Path) -> None:
    environment = {"HEADWAY_PROXY__LISTEN": "127.0.0.1:2", "HEADWAY_PROXY__DRAIN": "2s"}
    flags = (Override("proxy.listen", "127.0.0.1:3", "--listen"),)
    text = "proxy: {daemons: [gpu:1], listen: '127.0.0.1:1', drain: 1s, batch_window: 1ms}\n"
    proxy = load(home, text, environment=environment, overrides=flags).require_proxy()
    assert (proxy.listen.port, proxy.drain_s, proxy.batch_window_s, proxy.transport) == (3, 2.0, 0.001, "quic")


PROFILED = (
    ROUTES
    + """      policy: dqn:best.safetensors
      candidates: [{triton: a, model: large, quality: 1, profile: profiles/one.yaml}, {triton: a, model: s, quality: 0}]
    other: {policy: greedy, candidates: [{triton: a, model: large, quality: 1, profile: profiles/two.yaml}]}
"""
)
WITH_DQN = Available(policies=("dqn", "greedy"))


def test_a_profile_is_read_and_a_model_has_one(home: Path) -> None:
    (home / "profiles" / "one.yaml").write_text("format: 2\n", encoding="utf-8")
    (home / "profiles" / "two.yaml").write_text("{format: 1, model: large, latency: {1: 0.1}}", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(home, PROFILED, available=WITH_DQN)
    one, two = "daemon.routes.llm.candidates[0].profile", "daemon.routes.other.candidates[0].profile"
    lines = [line.partition(": ")[2] for line in error.value.problems]
    assert lines == [
        (
            f"{one}: {home}/profiles/one.yaml: format: 2 is not 1, the one that this version reads; "
            "allowed: a file that `headway profile` wrote"
        ),
        (
            f"{two}: large on a has another profile, {home}/profiles/one.yaml, by {one}; "
            "allowed: one file for a model wherever it is a candidate"
        ),
    ]


def test_a_checkpoint_s_path_starts_from_the_file_and_dqn_wants_profiles(home: Path) -> None:
    (home / "profiles" / "one.yaml").write_text("{format: 1, model: large, latency: {1: 0.1}}", encoding="utf-8")
    config = load(home, PROFILED.replace("two.yaml", "one.yaml"), available=WITH_DQN)
    assert config.require_daemon().routes["llm"].policy == f"dqn:{home}/best.safetensors"
    what = "dqn decides as greedy does while a candidate has no profile"
    assert config.notes() == [f"{home}/headway.yaml:7: daemon.routes.llm.policy: {what}"]


def test_late_wants_profiles_too_and_what_may_wait_is_a_size(home: Path) -> None:
    (home / "profiles" / "one.yaml").write_text("{format: 1, model: large, latency: {1: 0.1}}", encoding="utf-8")
    text = PROFILED.replace("two.yaml", "one.yaml")
    text = text.replace("policy: dqn:best.safetensors", "policy: late\n      max_waiting_bytes: 2MiB")
    config = load(home, text, available=Available(policies=("late", "greedy")))
    assert config.require_daemon().routes["llm"].max_waiting_bytes == 2 << 20
    what = "late decides as greedy does while a candidate has no profile"
    assert config.notes() == [f"{home}/headway.yaml:7: daemon.routes.llm.policy: {what}"]


def test_no_file_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cert.pem").write_text("-", encoding="utf-8")
    environment = {
        "HEADWAY_DAEMON__CERT": "cert.pem",
        "HEADWAY_DAEMON__KEY": "cert.pem",
        "HEADWAY_DAEMON__TRITONS": '{a: {url: "localhost:8101"}}',
        "HEADWAY_DAEMON__ROUTES__LLM": "{policy: round_robin, candidates: [{triton: a, model: m, quality: 1}]}",
        "HEADWAY_CLASSES__BULK__DEADLINE": "none",
        "HEADWAY_PROXY__DAEMONS": "gpu-host:4433, [::1]:4434",
    }
    config = load_config(None, roles=("daemon",), environment=environment)
    daemon = config.require_daemon()
    assert daemon.cert == tmp_path / "cert.pem"
    assert daemon.tritons == {"a": TritonSettings("a", Address("localhost", 8101))}
    assert daemon.routes == {"llm": RouteSettings("llm", "round_robin", (CandidateSettings("a", "m", 1.0),))}
    assert config.traffic.classes["bulk"] == TrafficClass("bulk", math.inf, 2.3, 2, "low", 1.0, "deliver")
    assert config.require_proxy().daemons == (Address("gpu-host", 4433), Address("::1", 4434))


def test_problems_name_the_variable_or_flag(home: Path) -> None:
    environment = {
        "HEADWAY_PROXY__LISTEN": "8001",
        "HEADWAY_PROXY__LISTNE": "127.0.0.1:1",
        "HEADWAY_PROXI__LISTEN": "127.0.0.1:1",
        "HEADWAY_CLASSES__BULK": "{deadline: 1s, weight: -1",
        "HEADWAY_SCHEDULER": "eddf",
    }
    flags = (Override("proxy.drain", "-1s", "--drain"), Override("proxy.daemons", "gpu", "--daemons"))
    lines = problems(home, "proxy: {daemons: [a:1]}\n", environment=environment, overrides=flags)
    assert sorted(line.split("; allowed")[0] for line in lines) == [
        "--daemons: proxy.daemons[0]: 'gpu' has no port",
        "--drain: proxy.drain: '-1s' is negative",
        "HEADWAY_CLASSES__BULK: classes.bulk: is not valid YAML: expected ',' or '}', but got '<stream end>'",
        "HEADWAY_PROXI__LISTEN: proxi: unknown key, did you mean 'proxy'?",
        "HEADWAY_PROXY__LISTEN: proxy.listen: '8001' has no port",
        "HEADWAY_PROXY__LISTNE: proxy.listne: unknown key, did you mean 'listen'?",
        "HEADWAY_SCHEDULER: scheduler: 'eddf' is not a scheduler, did you mean 'edf'?",
    ]


def test_a_role_makes_its_section_required(home: Path) -> None:
    assert problems(home, MINIMAL_DAEMON, ["proxy"]) == [
        f"F:1: proxy.daemons: is missing; allowed: a list, each {A_DAEMON}"
    ]


def test_files_of_the_other_machine_need_not_be_here(home: Path) -> None:
    text = MINIMAL_PROXY + MINIMAL_DAEMON.replace("certs/", "/elsewhere/")
    assert load(home, text, ["proxy"]).require_daemon().cert == Path("/elsewhere/daemon.pem")
    assert len(problems(home, text, ["daemon"])) == 2
    assert len(problems(home, text)) == 2
    assert problems(home, text.replace("key:", "kez:"), ["proxy"])[0].startswith("F:2: daemon.kez: unknown key")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "headway.yaml")
    assert error.value.problems == [f"{tmp_path}/headway.yaml: cannot be read: No such file or directory"]


def test_what_is_available_is_the_callers_to_say(home: Path) -> None:
    more = Available(schedulers=("rr", "adaptive"), policies=("dqn",), congestion_controls=("vegas",))
    text = MINIMAL_PROXY.replace("}", ", congestion_control: vegas}") + "scheduler: adaptive\n"
    config = load(home, text, available=more)
    assert (config.scheduler, config.require_proxy().congestion_control) == ("adaptive", "vegas")


def test_a_value_in_use_is_found_again(home: Path) -> None:
    config = load(home, "scheduler: rr\nproxy:\n  daemons: [gpu:1]\n")
    path = home / "headway.yaml"
    assert config.problem("proxy.daemons[0]", "is away") == f"{path}:3: proxy.daemons[0]: is away"
    assert config.problem("proxy.listen", "is taken") == f"{path}:2: proxy.listen: is taken"


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70000),
    st.floats(),
    st.sampled_from(
        ["1s", "-1ms", "gpu:1", "[::1]:1", "a", "static:a", "rr", "auto", "64KiB", "certs/ca.pem", "", "\0", "~x"]
    ),
)
KEYS = st.sampled_from(
    [
        "classes",
        "default_class",
        "scheduler",
        "proxy",
        "daemon",
        "telemetry",
        "daemons",
        "listen",
        "tls",
        "cert",
        "key",
        "tritons",
        "routes",
        "a",
        "llm",
        "url",
        "policy",
        "candidates",
        "triton",
        "model",
        "quality",
        "token_file",
        "drain",
        "deadline",
        "weight",
        "<<",
        "on",
        "max_datagram_bytes",
        "metrics",
        "unknown_class",
    ]
)
TREES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)


@given(tree=TREES, variables=st.dictionaries(st.tuples(KEYS, KEYS), PLAIN, max_size=3))
def test_nothing_but_config_errors_comes_out(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, variables: Mapping[tuple[str, str], object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    environment = {f"HEADWAY_{'__'.join(keys).upper()}": str(value) for keys, value in variables.items()}
    problems = [""]
    try:
        load_config(path, environment=environment).problem("proxy.listen", "is taken")
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(line.isprintable() for line in problems)
