"""A NAT that forgets and a link that goes away for a second, on real sockets (faults 33 and 35)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from proxy.compose.backend import Daemon
from proxy.compose.frontend import Proxy
from proxy.config import load_config
from proxy.tasks import spawn
from proxy.testing.stack import StackFiles
from tests.conformance.backend import Backend
from tests.conformance.client import Client, drained, named, new_call_id, outcome, sending
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb
from tests.loopback.forwarder import UdpForwarder

SIZE = 64 * 1024
ECHO = pb.CallRequest(payload=b"content", echo=True)


@dataclass
class Way:
    """Client, proxy, forwarder, daemon, backend."""

    client: Client
    forwarder: UdpForwarder
    backend: Backend


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    async with forwarded() as way:
        yield way


@asynccontextmanager
async def forwarded() -> AsyncIterator[Way]:
    async with Backend() as backend:
        files = StackFiles(backend.address)
        daemon = Daemon(load_config(files.write("daemon.yaml", daemon_listen="127.0.0.1:0"), roles=["daemon"]))
        await daemon.start()
        async with UdpForwarder(daemon.address) as forwarder:
            config = files.write("proxy.yaml", daemon_listen=forwarder.address, proxy_listen="127.0.0.1:0")
            proxy = Proxy(load_config(config, roles=["proxy"]))
            await proxy.start()
            async with Client(proxy.address) as client:
                yield Way(client, forwarder, backend)
            await proxy.close()
        await daemon.close()
        files.remove()


async def test_a_download_goes_on_from_another_port(way: Way) -> None:
    replies = [pb.Reply(size_bytes=SIZE, seed=number) for number in range(60)]
    call = way.client.server_stream(pb.CallRequest(replies=replies))
    for number in range(60):
        if number in (10, 30):
            await way.forwarder.rebind()
        async with asyncio.timeout(10):
            assert (await call.read()).payload == payload(SIZE, number)
    assert (await drained(call)).code is grpc.StatusCode.OK
    assert len(set(way.forwarder.source_ports)) == 3


async def test_an_upload_goes_on_from_another_port(way: Way) -> None:
    call_id = new_call_id()
    call = way.client.client_stream(metadata=named(call_id))
    for number in range(60):
        if number == 20:
            await way.backend.calls[call_id].received.reach(5)
            await way.forwarder.rebind()
        async with asyncio.timeout(10):
            await call.write(pb.CallRequest(payload=payload(SIZE, number)))
    await call.done_writing()
    async with asyncio.timeout(10):
        answer = await call
    assert (answer.received_messages, answer.received_bytes) == (60, 60 * SIZE)


async def test_calls_one_by_one_go_on_from_another_port(way: Way) -> None:
    for _ in range(5):
        async with asyncio.timeout(5):
            assert (await way.client.unary(ECHO)).payload == b"content"
        await way.forwarder.rebind()


@pytest.mark.slow
async def test_a_second_without_a_packet_harms_no_call_under_way(way: Way) -> None:
    requests = [pb.CallRequest(payload=payload(SIZE, number), echo=True) for number in range(20)]
    call_ids = [new_call_id() for _ in range(5)]
    calls = [
        spawn(outcome(way.client.bidi(sending(requests), metadata=named(call_id))), name=call_id)
        for call_id in call_ids
    ]
    for call_id in call_ids:
        await way.backend.calls[call_id].received.reach(1)
    way.forwarder.cut = True
    waiting = spawn(outcome(way.client.unary(ECHO)), name="begun in the dark")
    await asyncio.sleep(1)
    assert not waiting.done()
    way.forwarder.cut = False
    async with asyncio.timeout(10):
        for result in await asyncio.gather(*calls):
            assert result.code is grpc.StatusCode.OK
            assert [message.payload for message in result.messages] == [payload(SIZE, number) for number in range(20)]
        assert (await waiting).code is grpc.StatusCode.OK
