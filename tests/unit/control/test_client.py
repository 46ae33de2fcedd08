"""What goes wrong on the way to a control service is one line that names the address."""

from __future__ import annotations

import socket
from pathlib import Path

import grpc
import pytest

from proxy.control.client import ClientTls, ControlClient, ControlError
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import ControlService
from proxy.testing.ports import free_port
from tests.unit.control.controlled import FakeProcess


async def test_nobody_there() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with ControlClient(address) as client:
        with pytest.raises(ControlError, match=f"^{address}: .*Connection refused"):
            await client.status()
        with pytest.raises(ControlError, match=f"^{address}: .*Connection refused"):
            await anext(client.watch(interval_s=1))


async def test_something_else_there() -> None:
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with ControlClient(address) as client:
            with pytest.raises(ControlError) as error:
                await client.status()
    finally:
        await server.stop(grace=None)
    assert str(error.value) == f"{address}: what answers there is not a headway control service"


async def test_no_answer_in_time() -> None:
    # The system takes the connection, and nobody speaks HTTP/2 on it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with ControlClient(address, timeout_s=0.05) as client:
            with pytest.raises(ControlError) as error:
                await client.status()
    assert str(error.value) == f"{address}: no answer within 0.05 s"


async def test_a_refusal_is_told_in_the_process_s_words() -> None:
    server = ControlServer(ControlServerSettings("127.0.0.1:0"), service=ControlService(FakeProcess()))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    try:
        async with ControlClient(address) as client:
            assert repr(client) == f"<ControlClient {address}>"
            with pytest.raises(ControlError) as error:
                await client.set_scheduler("fastest")
    finally:
        await server.stop()
    assert str(error.value) == f"{address}: unknown scheduler 'fastest'; known: rr, edf"


async def test_a_watch_ends_with_the_process() -> None:
    server = ControlServer(ControlServerSettings("127.0.0.1:0"), service=ControlService(FakeProcess()))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    async with ControlClient(address) as client:
        watch = client.watch(interval_s=0.1)
        assert (await anext(watch)).version == "1.2.3"
        await server.stop()
        with pytest.raises(ControlError, match=f"^{address}: "):
            _ = [status async for status in watch]


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    with pytest.raises(ControlError, match=f"^{gone}: No such file or directory$"):
        ControlClient("127.0.0.1:1", tls=ClientTls(gone, gone, gone))
