from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from proxy.commands.certs import make_certs
from proxy.commands.reach import probe_daemon
from proxy.compose.backend import Daemon
from proxy.config import Address, ProxySettings, load_config
from proxy.testing.stack import StackFiles


class Site:
    """A running daemon, and how a proxy is set up for it."""

    def __init__(self, transport: str, **daemon: object) -> None:
        self.files = StackFiles("127.0.0.1:1", transport=transport, daemon=daemon)
        self.daemon = Daemon(
            load_config(self.files.write("daemon.yaml", daemon_listen="127.0.0.1:0"), roles=["daemon"])
        )

    @property
    def address(self) -> Address:
        host, _, port = self.daemon.address.rpartition(":")
        return Address(host, int(port))

    def settings(self) -> ProxySettings:
        path = self.files.write("proxy.yaml", daemon_listen=self.daemon.address, proxy_listen="127.0.0.1:0")
        return load_config(path, roles=["proxy"]).require_proxy()

    async def close(self) -> None:
        await self.daemon.close()
        self.files.remove()


@pytest.fixture(params=["quic", "tcp"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    site = Site(request.param)
    await site.daemon.start()
    yield site
    await site.close()


async def test_a_daemon_that_lets_us_in(site: Site) -> None:
    assert await probe_daemon(site.address, site.settings()) == ""
    assert await probe_daemon(site.address, replace(site.settings(), server_name="localhost")) == ""


async def test_a_certificate_that_is_not_accepted(site: Site) -> None:
    make_certs(site.files.path / "other", now=datetime.now(UTC))
    answer = await probe_daemon(site.address, replace(site.settings(), ca=site.files.path / "other" / "ca.pem"))
    assert answer.startswith(f"{site.address} shows a certificate that is not accepted: ")
    assert "unable to get local issuer certificate" in answer
    answer = await probe_daemon(site.address, replace(site.settings(), server_name="gpu"))
    assert answer.startswith(f"{site.address} shows a certificate that is not accepted: ")
    assert "hostname" in answer.lower()


async def test_a_token_that_is_not_known(site: Site) -> None:
    token = site.files.path / "another-token"
    token.write_text("not-the-daemon-s\n")
    answer = await probe_daemon(site.address, replace(site.settings(), token_file=token))
    assert answer == f"{site.address} does not let us in: the headway-token header is missing or wrong"
    answer = await probe_daemon(site.address, replace(site.settings(), token_file=None))
    assert answer == f"{site.address} does not let us in: the headway-token header is missing or wrong"


async def test_files_that_cannot_be_used_are_named(site: Site) -> None:
    empty = site.files.path / "empty"
    empty.write_text("")
    answer = await probe_daemon(site.address, replace(site.settings(), token_file=empty))
    assert answer == f"{site.address} was not tried: holds no token"


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_client_certificate_that_is_missing(transport: str) -> None:
    site = Site(transport, client_ca="certs/ca.pem")
    await site.daemon.start()
    answer = await probe_daemon(site.address, site.settings())
    assert answer.startswith(f"{site.address} ")
    certs = site.files.path / "certs"
    shown = replace(site.settings(), client_cert=certs / "proxy.pem", client_key=certs / "proxy.key")
    assert await probe_daemon(site.address, shown) == ""
    await site.close()


async def test_nobody_there(site: Site) -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        address = Address("127.0.0.1", tcp.getsockname()[1])
        if site.settings().transport == "quic":
            udp.bind(("127.0.0.1", 0))
            address = Address("127.0.0.1", udp.getsockname()[1])
            udp.close()
        answer = await probe_daemon(address, site.settings())
    assert answer.startswith(f"{address} cannot be reached: ")
    assert answer.endswith("Connection refused")


async def test_silence_over_udp(site: Site) -> None:
    settings = replace(site.settings(), transport="quic")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", silent.getsockname()[1])
        answer = await probe_daemon(address, settings, timeout_s=0.05)
    assert answer == f"{address} does not answer within 0.05 s; where UDP is blocked, transport: tcp may do"


async def test_silence_over_tcp(site: Site) -> None:
    settings = replace(site.settings(), transport="tcp")

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        answer = await probe_daemon(address, settings, timeout_s=0.05)
    assert answer == f"{address} does not answer within 0.05 s"


async def test_nothing_is_written_to_standard_error(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    await probe_daemon(site.address, replace(site.settings(), token_file=None))
    assert capfd.readouterr() == ("", "")
