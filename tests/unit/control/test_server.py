"""The control service's own port, over real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from proxy.commands.certs import make_certs
from proxy.config import ControlTlsSettings
from proxy.control.client import ClientTls, ControlClient, ControlError
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import ControlService
from proxy.errors import HeadwayError
from proxy.pb.headway.v1 import control_pb2 as pb
from tests.unit.control.controlled import FakeProcess


@asynccontextmanager
async def serving(process: FakeProcess, tls: ControlTlsSettings | None = None) -> AsyncIterator[str]:
    server = ControlServer(ControlServerSettings("127.0.0.1:0", tls), service=ControlService(process))
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


async def test_each_method_is_served() -> None:
    process = FakeProcess()
    async with serving(process) as address, ControlClient(address) as client:
        assert (await client.status()).version == "1.2.3"
        assert (await client.set_scheduler("rr")).previous == "edf"
        assert (await client.set_policy("llm", "static:a")).previous == "round_robin"
        watch = client.watch(interval_s=0.1)
        assert (await anext(watch)).sending.scheduler == "rr"
        await watch.aclose()
        assert (await client.drain()).calls == 3
        assert (await client.status()).draining


async def test_a_status_that_is_refused_has_its_code_and_its_text() -> None:
    async with serving(FakeProcess()) as address, grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            "/headway.v1.Control/SetScheduler",
            pb.SetSchedulerRequest.SerializeToString,
            pb.SetSchedulerResponse.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ask(pb.SetSchedulerRequest(name="x"), timeout=5)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.value.details() == "unknown scheduler 'x'; known: rr, edf"
        watch = channel.unary_stream(
            "/headway.v1.Control/WatchStatus", pb.WatchStatusRequest.SerializeToString, pb.Status.FromString
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await watch(pb.WatchStatusRequest(interval_s=-1), timeout=5).read()
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_fault_of_ours_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeProcess):
        def status(self) -> pb.Status:
            raise RuntimeError("the state is gone")

    async with serving(Broken()) as address, ControlClient(address) as client:
        with pytest.raises(ControlError, match="internal error in headway"):
            await client.status()
    assert "/headway.v1.Control/GetStatus failed" in caplog.text
    assert "the state is gone" in caplog.text


async def test_beside_certificates_signed_by_client_ca_nobody_gets_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("ours", "theirs"):
        make_certs(tmp_path / name, now=datetime.now(UTC))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    process = FakeProcess()
    tls = ControlTlsSettings(ours / "daemon.pem", ours / "daemon.key", ours / "ca.pem")
    async with serving(process, tls) as address:
        for refused in (
            None,
            ClientTls(ours / "ca.pem", theirs / "proxy.pem", theirs / "proxy.key"),
            ClientTls(theirs / "ca.pem", ours / "proxy.pem", ours / "proxy.key"),
        ):
            async with ControlClient(address, tls=refused) as client:
                with pytest.raises(ControlError, match=f"^{address}: "):
                    await client.drain()
        assert process.status().draining is False
        async with ControlClient(
            address, tls=ClientTls(ours / "ca.pem", ours / "proxy.pem", ours / "proxy.key")
        ) as client:
            assert (await client.drain()).calls == 3
    assert process.status().draining is True
    [line] = [line for line in caplog.messages if line.startswith("Takes no new calls")]
    assert "(localhost, 127.0.0.1, ::1)" in line


async def test_a_port_in_use_is_named() -> None:
    async with serving(FakeProcess()) as address:
        server = ControlServer(ControlServerSettings(address), service=ControlService(FakeProcess()))
        with pytest.raises(HeadwayError, match=f"can't listen on {address}"):
            await server.start()
        assert repr(server) == f"<ControlServer {address} port=0 tls=False>"
