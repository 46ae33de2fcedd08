import asyncio
import os
import socket
from pathlib import Path

import pytest

from proxy.demo.processes import (
    DemoError,
    HeadwayProcess,
    child_environment,
    free_tcp_and_udp_port,
    free_tcp_port,
)


def test_the_preferred_port_if_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_tcp_port(preferred=port) != port
    assert free_tcp_port(preferred=port) == port


def test_a_port_for_both() -> None:
    port = free_tcp_and_udp_port()
    with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))


def test_settings_of_ones_own_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_PROXY__LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    environment = child_environment()
    assert "HEADWAY_PROXY__LISTEN" not in environment
    assert environment["OTEL_SERVICE_NAME"] == "mine"
    assert environment["no_grpc_proxy"] == "example.org,localhost,127.0.0.1"


async def test_a_process_that_ends_too_early_says_why(tmp_path: Path) -> None:
    config = tmp_path / "headway.yaml"
    config.write_text("proxi: {}\n")
    async with HeadwayProcess("proxy", config) as process:
        await asyncio.wait_for(process.exited(), 20)
        failure = str(process.failure())
        assert failure.startswith("the proxy ended with status 1; the end of its log:\n")
        assert "proxi" in failure
        assert repr(process) == f"<HeadwayProcess proxy pid {process.pid} 1>"


async def test_a_process_is_gone_after_its_block(tmp_path: Path) -> None:
    config = tmp_path / "headway.yaml"
    config.write_text("")
    async with HeadwayProcess("proxy", config) as process:
        pid = process.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(DemoError, match="has not been started"):
        _ = HeadwayProcess("daemon", config).pid
