"""The stack in this process, and as processes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
import yaml

from proxy.testing.stack import HeadwayProcess, HeadwayStack, ProcessStack, StackFiles
from tests.conformance.backend import Backend
from tests.conformance.client import Client, outcome
from tests.conformance.pb import conformance_pb2 as pb

ECHO = pb.CallRequest(payload=b"content", echo=True)


def test_files_hold_what_both_ends_need() -> None:
    files = StackFiles("127.0.0.1:1", transport="tcp", daemon={"drain": "2s"}, top={"scheduler": "rr"})
    both = yaml.safe_load(files.write("a.yaml", daemon_listen="127.0.0.1:2", proxy_listen="127.0.0.1:3").read_text())
    assert both["scheduler"] == "rr"
    assert (both["proxy"]["listen"], both["proxy"]["daemons"]) == ("127.0.0.1:3", ["127.0.0.1:2"])
    assert both["proxy"]["transport"] == "tcp"
    assert (both["daemon"]["listen"], both["daemon"]["drain"]) == ("127.0.0.1:2", "2s")
    assert both["daemon"]["tritons"] == {"a": {"url": "127.0.0.1:1"}}
    assert (files.path / both["proxy"]["ca"]).is_file()
    alone = yaml.safe_load(files.write("b.yaml", daemon_listen="127.0.0.1:2").read_text())
    assert "proxy" not in alone
    files.remove()
    assert not files.path.exists()


def test_settings_replace_the_usual_ones() -> None:
    files = StackFiles("127.0.0.1:1", proxy={"daemons": ["127.0.0.1:9"], "ca": "other.pem"}, max_message_bytes=1024)
    both = yaml.safe_load(files.write("a.yaml", daemon_listen="127.0.0.1:2", proxy_listen="127.0.0.1:3").read_text())
    assert (both["proxy"]["daemons"], both["proxy"]["ca"]) == (["127.0.0.1:9"], "other.pem")
    assert (both["proxy"]["max_message_bytes"], both["daemon"]["max_message_bytes"]) == (1024, 1024)
    files.remove()


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_call_through_the_stack_in_this_process(transport: str) -> None:
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport) as stack,
        Client(stack.address) as client,
    ):
        assert (await client.unary(ECHO)).payload == b"content"
        path = stack.files.path
    assert not path.exists()


@pytest.mark.slow
async def test_processes_start_log_and_end() -> None:
    async with Backend() as backend, ProcessStack(backend.address) as stack:
        async with Client(stack.address) as client:
            assert (await client.unary(ECHO)).payload == b"content"
        assert stack.proxy_pid != stack.daemon_pid
        assert f"Daemon listens on {stack.daemon_address}" in stack.log("daemon")
        first = stack.daemon_pid
        await stack.kill_daemon()
        await stack.start_daemon()
        assert stack.daemon_pid != first
        assert stack.log("daemon").count("Daemon listens on") == 2
        assert await stack.terminate_daemon() == 0
        assert await stack.terminate_proxy() == 0
        assert "Proxy stopped" in stack.log("proxy")


@pytest.mark.slow
async def test_nothing_runs_before_it_is_started() -> None:
    async with ProcessStack("127.0.0.1:1", start=False) as stack, Client(stack.address) as client:
        with pytest.raises(RuntimeError, match="proxy not started"):
            _ = stack.proxy_pid
        assert (await outcome(client.empty(pb.Nothing()))).code is grpc.StatusCode.UNAVAILABLE


async def test_a_process_that_ends_instead_shows_its_log(tmp_path: Path) -> None:
    process = HeadwayProcess("daemon", tmp_path / "missing.yaml")
    with pytest.raises(RuntimeError, match=r"daemon exited with 1:\n.*missing\.yaml"):
        await process.start()
    assert "code=1" in repr(process)
    await process.stop()


async def test_what_is_never_logged_is_a_timeout(tmp_path: Path) -> None:
    files = StackFiles("127.0.0.1:1")
    process = HeadwayProcess("daemon", files.write("daemon.yaml", daemon_listen="127.0.0.1:0"))
    await process.start()
    with pytest.raises(TimeoutError):
        await process.logged("never", within_s=0.05)
    assert await process.signal(signal.SIGKILL) == -9
    await process.stop()
    files.remove()


async def test_leaving_twice_is_once(tmp_path: Path) -> None:
    process = HeadwayProcess("daemon", tmp_path / "missing.yaml")
    await process.stop()
    await process.launch()
    await asyncio.gather(process.stop(), process.stop())
