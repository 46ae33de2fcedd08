from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.commands.check import check_config
from proxy.config import Address, Config, ProxySettings
from proxy.testing.memory_resolver import MemoryResolver

Loader = Callable[[str], Config]

NOW = datetime(2026, 5, 2, tzinfo=UTC)

PROXY = "proxy:\n  daemons: [gpu-host:4433, localhost:4434]\n  ca: certs/ca.pem\n"


async def answers(address: Address, _: ProxySettings) -> str:
    return "" if address.port == 4433 else f"{address} is away"


async def test_daemons_that_do_not_answer_are_named(home: Path, load: Loader) -> None:
    assert await check_config(load(PROXY), now=NOW, probe=answers) == [
        f"{home}/headway.yaml:2: proxy.daemons[1]: localhost:4434 is away"
    ]


async def test_of_a_dns_name_each_address_is_tried_under_the_name(home: Path, load: Loader) -> None:
    tried: dict[str, str | None] = {}

    async def tries(address: Address, proxy: ProxySettings) -> str:
        tried[str(address)] = proxy.server_name
        return f"{address} is away" if address.host == "::1" else ""

    text = PROXY.replace("gpu-host:4433, localhost:4434", "localhost:4434, 'dns:///pods.test.:1', 'dns:///nobody:1'")
    resolver = MemoryResolver({"pods.test.": ["10.0.0.1", "::1"]})
    assert await check_config(load(text), now=NOW, probe=tries, resolver=resolver) == [
        f"{home}/headway.yaml:2: proxy.daemons[1]: [::1]:1 is away",
        f"{home}/headway.yaml:2: proxy.daemons[2]: dns:///nobody:1 can't be resolved: Name or service not known",
    ]
    assert tried == {"localhost:4434": None, "10.0.0.1:1": "pods.test", "[::1]:1": "pods.test"}


async def test_offline_leaves_the_network_alone(load: Loader) -> None:
    text = "daemon: {cert: certs/daemon.pem, key: certs/daemon.key, tritons: {a: {url: 'localhost:1'}}}\n"
    assert await check_config(load(PROXY + text), now=NOW, offline=True, probe=answers) == []


async def test_certificates_come_first(load: Loader) -> None:
    lines = await check_config(load(PROXY), now=NOW + timedelta(days=4000), probe=answers)
    assert [line.split(": ")[1] for line in lines] == ["proxy.ca", "proxy.daemons[1]"]


async def test_tritons_are_called(load: Loader) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        text = f"daemon: {{cert: certs/daemon.pem, key: certs/daemon.key, tritons: {{a: {{url: '{url}'}}}}}}\n"
        lines = await check_config(load(text), now=NOW, timeout_s=0.05)
    assert [line.split(": ", 1)[1] for line in lines] == [f"daemon.tritons.a: {url} cannot be reached within 0.05 s"]
