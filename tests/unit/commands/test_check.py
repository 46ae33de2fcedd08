from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.commands.check import check_config
from proxy.config import Address, Config, ProxySettings

Loader = Callable[[str], Config]

NOW = datetime(2026, 5, 2, tzinfo=UTC)

PROXY = "proxy:\n  daemons: [gpu-host:4433, localhost:4434]\n  ca: certs/ca.pem\n"


async def answers(address: Address, _: ProxySettings) -> str:
    return "" if address.port == 4433 else f"{address} is away"


async def test_daemons_that_do_not_answer_are_named(home: Path, load: Loader) -> None:
    assert await check_config(load(PROXY), now=NOW, probe=answers) == [
        f"{home}/headway.yaml:2: proxy.daemons[1]: localhost:4434 is away"
    ]


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
