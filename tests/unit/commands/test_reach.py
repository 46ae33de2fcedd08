from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs
from proxy.commands.reach import probe_daemon
from proxy.config import Address, ProxySettings


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Address]:
    """A TLS server with the daemon's certificate."""
    make_certs(tmp_path, hosts=["gpu-host"], now=datetime.now(UTC))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "daemon.pem", tmp_path / "daemon.key")

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])


def settings(address: Address, ca: Path | None, server_name: str | None = None) -> ProxySettings:
    return ProxySettings(daemons=(address,), ca=ca, server_name=server_name)


async def test_a_daemon_that_answers(daemon: Address, tmp_path: Path) -> None:
    assert await probe_daemon(daemon, settings(daemon, tmp_path / "ca.pem")) == ""
    assert await probe_daemon(daemon, settings(daemon, tmp_path / "ca.pem", "gpu-host")) == ""


async def test_a_certificate_that_is_not_accepted(daemon: Address, tmp_path: Path) -> None:
    answer = await probe_daemon(daemon, settings(daemon, None))
    assert answer == (f"{daemon} shows a certificate that is not accepted: unable to get local issuer certificate")
    answer = await probe_daemon(daemon, settings(daemon, tmp_path / "ca.pem", "gpu"))
    assert "Hostname mismatch" in answer


async def test_nobody_there() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can take the port meanwhile
        taken.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", taken.getsockname()[1])
        answer = await probe_daemon(address, settings(address, None))
    assert answer.startswith(f"{address} cannot be reached: ")
    assert "\n" not in answer
