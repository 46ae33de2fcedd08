from __future__ import annotations

from pathlib import Path

from proxy.commands.policies import check_policies
from proxy.config import Available, Config, load_config

AVAILABLE = Available(policies=("round_robin", "dqn"))

DAEMON = """daemon:
  cert: certs/daemon.pem
  key: certs/daemon.key
  tritons: {a: {url: "localhost:1"}}
  routes:
    llm:
      policy: POLICY
      candidates: [{triton: a, model: m, quality: 0.5}]
"""


def load(home: Path, text: str) -> Config:
    path = home / "headway.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, available=AVAILABLE)


def test_a_policy_that_can_be_used_is_no_problem(home: Path) -> None:
    assert check_policies(load(home, DAEMON.replace("POLICY", "round_robin"))) == []


def test_a_checkpoint_that_is_missing_or_corrupt_is_named_with_its_key(home: Path) -> None:
    config = load(home, DAEMON.replace("POLICY", "dqn:missing.safetensors"))
    (line,) = check_policies(config)
    where = f"{home}/headway.yaml:7: daemon.routes.llm.policy"
    assert line.startswith(f"{where}: dqn:{home}/missing.safetensors can't be used: ")
    assert line.endswith("; greedy would decide")
    (home / "corrupt.safetensors").write_bytes(b"not one")
    (line,) = check_policies(load(home, DAEMON.replace("POLICY", "dqn:corrupt.safetensors")))
    assert "corrupt" in line


def test_a_proxy_has_none(home: Path) -> None:
    assert check_policies(load(home, "proxy: {daemons: [localhost:4433]}\n")) == []
