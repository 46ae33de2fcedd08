"""The tree keeps to its rules, and each rule notices when it is broken."""

from __future__ import annotations

import pytest

from tests.architecture import rules
from tests.architecture.layout import Module, modules
from tests.architecture.rules import RULES, Rule

MODULES = modules()


def test_the_source_files_are_found() -> None:
    paths = {module.path for module in MODULES}
    assert {"proxy/errors.py", "policies/traffic.py"} <= paths
    assert not any(path.startswith("proxy/pb/") for path in paths)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(rule: Rule) -> None:
    broken = [line for module in MODULES for line in rule(module)]
    assert not broken, "\n".join(broken)


BROKEN = [
    (rules.policies_know_nothing_of_the_proxy, "policies/x.py", "from proxy import errors", "1: imports proxy.errors"),
    (rules.what_decides_is_pure, "policies/x.py", "import random", "1: imports random"),
    (rules.what_decides_is_pure, "proxy/tunnel/x.py", "def f():\n  import grpc.aio", "2: imports grpc.aio"),
    (rules.torch_stays_in_dqn, "policies/selection/x.py", "import torch.nn as nn", "1: imports torch.nn"),
    (
        rules.edge_and_daemon_know_only_the_port,
        "proxy/edge/x.py",
        "from proxy.daemon import routes",
        "1: imports proxy.daemon.routes",
    ),
    (
        rules.edge_and_daemon_know_only_the_port,
        "proxy/daemon/x.py",
        "from ..quic import driver",
        "1: imports proxy.quic.driver",
    ),
    (
        rules.edge_and_daemon_know_only_the_port,
        "proxy/edge/x.py",
        "from proxy.tunnel.flow import Flow",
        "1: imports proxy.tunnel.flow.Flow",
    ),
    (rules.tunnel_knows_no_packets, "proxy/tunnel/x.py", "import aioquic.h3", "1: imports aioquic.h3"),
    (
        rules.control_knows_only_its_port,
        "proxy/control/x.py",
        "from proxy.quic.client import QuicTunnel",
        "1: imports proxy.quic.client.QuicTunnel",
    ),
    (rules.aioquic_stays_in_quic, "proxy/cli.py", "from aioquic import quic", "1: imports aioquic.quic"),
    (
        rules.triton_messages_have_one_home,
        "proxy/edge/x.py",
        "from tritonclient.grpc import service_pb2",
        "1: imports tritonclient.grpc.service_pb2",
    ),
    (rules.nobody_touches_private_attributes, "proxy/quic/driver.py", "f(quic._streams)", "1: touches quic._streams"),
    (
        rules.nobody_touches_private_attributes,
        "proxy/quic/client.py",
        "from aioquic.h3.connection import H3Connection as H\nclass C(H):\n  def f(self):\n    self._blocked_streams",
        "4: uses aioquic's self._blocked_streams",
    ),
    (rules.clocks_are_read_in_few_places, "proxy/edge/x.py", "from time import monotonic", "1: imports time.monotonic"),
    (rules.clocks_are_read_in_few_places, "proxy/edge/x.py", "self._loop.time()", "1: calls self._loop.time()"),
    (rules.clocks_are_read_in_few_places, "proxy/edge/x.py", "datetime.now(UTC)", "1: calls datetime.now()"),
    (rules.tasks_start_in_one_place, "proxy/edge/x.py", "asyncio.create_task(f())", "1: calls asyncio.create_task"),
    (
        rules.tasks_start_in_one_place,
        "proxy/edge/x.py",
        "asyncio.get_running_loop().create_task(f())",
        "1: calls asyncio.get_running_loop().create_task",
    ),
    (rules.files_stay_short, "proxy/x.py", "pass\n" * 451, " 451 lines, at most 450"),
    (rules.files_are_named_for_a_noun, "proxy/edge/helpers.py", "", " says nothing about what is in it"),
]


@pytest.mark.parametrize(("rule", "path", "text", "line"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_rule_notices(rule: Rule, path: str, text: str, line: str) -> None:
    assert list(rule(Module(path, text))) == [f"{path}:{line}"]


def test_every_rule_has_an_example_that_breaks_it() -> None:
    assert {rule for rule, *_ in BROKEN} == set(RULES)


ALLOWED = [
    (rules.edge_and_daemon_know_only_the_port, "proxy/edge/x.py", "from proxy.tunnel.exchange import Exchange"),
    (rules.nobody_touches_private_attributes, "proxy/quic/connection.py", "quic._streams"),
    (rules.nobody_touches_private_attributes, "proxy/edge/x.py", "self._a; super()._b; x.__doc__"),
    (rules.clocks_are_read_in_few_places, "proxy/clock.py", "import time"),
    (rules.tasks_start_in_one_place, "proxy/edge/x.py", "group.create_task(f())"),
    (rules.files_stay_short, "proxy/x.py", "pass\n" * 450),
]


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED, ids=lambda value: getattr(value, "__name__", None))
def test_rule_allows(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Module(path, text))) == []
