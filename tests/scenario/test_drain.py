"""A daemon that stops: what it has finished arrives, what it has not begun may be tried elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.errors import Code
from proxy.pool import DaemonPool
from proxy.testing.calls import Answer, answering, exchange, hanging
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import MemoryTunnel
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

HEAD = CallHead("/pkg.Service/Method", traffic_class="standard")
FAR = LinkSettings(delay_s=0.1)


async def stop(tunnel: MemoryTunnel) -> None:
    """As `proxy.compose.backend` does, for a daemon without calls under way."""
    tunnel.daemon.drain()
    await tunnel.daemon.wait_delivered()
    await tunnel.daemon.close()


@pytest.mark.parametrize("lossy", [False, True])
async def test_an_answer_that_is_finished_arrives_although_the_daemon_stops(certs: Path, lossy: bool) -> None:
    downlink = LinkSettings(delay_s=0.1, rate_bytes_s=100_000, queue_bytes=30_000, loss=0.05 if lossy else 0.0)
    handed_over = asyncio.Event()

    async def handler(call: IncomingCall) -> None:
        await answering(bytes(200_000))(call)
        handed_over.set()

    async with MemoryTunnel(certs, handler=handler, uplink=FAR, downlink=downlink) as tunnel:
        call = asyncio.get_running_loop().create_task(exchange(tunnel.proxy, HEAD, b"request"))
        await handed_over.wait()
        async with asyncio.timeout(30):
            await stop(tunnel)
        assert await call == Answer(CallStatus(Code.OK), (bytes(200_000),), ())


async def test_a_call_that_crosses_with_the_stop_is_known_not_to_have_begun(certs: Path) -> None:
    served: list[str] = []

    async def handler(call: IncomingCall) -> None:
        served.append(call.head.path)
        await answering()(call)

    async with MemoryTunnel(certs, handler=handler, uplink=FAR, downlink=FAR) as tunnel:
        await asyncio.sleep(3)
        stopping = asyncio.get_running_loop().create_task(stop(tunnel))
        await asyncio.sleep(0.05)  # the GOAWAY is half way down
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        status = await call.receive()
        await stopping
        assert isinstance(status, CallStatus)
        assert (status.code, status.retryable, served) == (Code.UNAVAILABLE, True, [])


async def test_a_pool_loses_no_call_to_a_daemon_that_stops(certs: Path) -> None:
    address, port = {"address": "localhost:4434"}, {"port": 4434}
    async with (
        MemoryTunnel(certs, handler=answering(b"first"), uplink=FAR, downlink=FAR) as first,
        MemoryTunnel(
            certs, handler=answering(b"second"), uplink=FAR, downlink=FAR, client=address, server=port
        ) as second,
    ):
        pool = DaemonPool([first.proxy, second.proxy])
        await asyncio.sleep(3)
        loop = asyncio.get_running_loop()
        calls = []
        stopping: list[asyncio.Task[None]] = []
        for number in range(40):
            calls.append(loop.create_task(exchange(pool, HEAD, b"request")))
            await asyncio.sleep(0.02)
            if number == 10:
                stopping.append(loop.create_task(stop(first)))
        answers = await asyncio.gather(*calls)
        await asyncio.gather(*stopping)
        assert {answer.status for answer in answers} == {CallStatus(Code.OK)}
        assert {answer.messages for answer in answers} == {(b"first",), (b"second",)}


async def test_the_loss_of_a_daemon_is_heard_in_one_way_s_time(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=FAR, downlink=FAR) as tunnel:
        await asyncio.sleep(3)
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await asyncio.sleep(1)
        closed_at = tunnel.network.client_clock.now()
        await tunnel.daemon.close()
        status = await call.receive()
        assert isinstance(status, CallStatus)
        assert tunnel.network.client_clock.now() - closed_at == pytest.approx(0.1, abs=0.01)
