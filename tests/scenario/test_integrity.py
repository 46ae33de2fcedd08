"""Whatever the network does to datagrams: every call gets one status, and no byte is wrong."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from proxy.errors import Code
from proxy.testing.calls import Answer, exchange
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import MemoryTunnel
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata

CLASSES = ("realtime", "standard", "bulk")


async def echo(call: IncomingCall) -> None:
    """Sends back each message as it comes, and how many they were."""
    count = 0
    while (message := await call.receive()) is not None:
        count += 1
        await call.send(message)
    await call.finish(CallStatus(Code.OK, metadata=(("x-count", str(count)),)))


def conversation(number: int) -> list[bytes]:
    """What one call sends: a few messages of up to 16 KB, another one for each number."""
    rng = random.Random(number)
    return [rng.randbytes(rng.choice((0, 1, 100, 3000, 16_000))) for _ in range(rng.randrange(1, 6))]


async def interleaved(tunnel: MemoryTunnel, calls: int) -> list[Answer]:
    """So many conversations at once."""
    return await asyncio.gather(
        *(
            exchange(
                tunnel.proxy,
                CallHead(f"/echo.Echo/{number}", traffic_class=CLASSES[number % 3]),
                *conversation(number),
            )
            for number in range(calls)
        )
    )


def check(answers: list[Answer]) -> None:
    for number, answer in enumerate(answers):
        sent = conversation(number)
        assert answer.status == CallStatus(Code.OK, metadata=(("x-count", str(len(sent))),)), number
        assert list(answer.messages) == sent, number


NETWORKS = {
    "loss 0.5 %": LinkSettings(loss=0.005),
    "loss 2 %": LinkSettings(loss=0.02),
    "loss 10 %": LinkSettings(loss=0.1),
    "every fifth twice": LinkSettings(duplicate=0.2),
    "every fourth late": LinkSettings(reorder=0.25, reorder_delay_s=0.03),
    "corruption 2 %": LinkSettings(corrupt=0.02),
    "a short queue": LinkSettings(rate_bytes_s=1_000_000, queue_bytes=30_000),
    "all of it": LinkSettings(
        loss=0.02, duplicate=0.05, corrupt=0.01, reorder=0.1, reorder_delay_s=0.02, rate_bytes_s=2_000_000
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["edf", "rr"])
@pytest.mark.parametrize("network", NETWORKS)
async def test_a_hundred_interleaved_calls(certs: Path, network: str, scheduler: str) -> None:
    settings = NETWORKS[network]
    link = LinkSettings(**{name: getattr(settings, name) for name in settings.__slots__} | {"delay_s": 0.01})
    async with MemoryTunnel(certs, handler=echo, uplink=link, downlink=link, scheduler=scheduler) as tunnel:
        async with asyncio.timeout(60):
            check(await interleaved(tunnel, 100))
        await asyncio.sleep(5)
        # Nothing is left behind: the control call's stream, three of HTTP/3's each way.
        assert "users=1 " in repr(tunnel.proxy)
        assert "streams=7 " in repr(tunnel.proxy)
        assert "calls=1 " in repr(tunnel.daemon)


async def test_a_run_repeats(certs: Path) -> None:
    async def run() -> tuple[object, object]:
        link = LinkSettings(delay_s=0.01, loss=0.05, reorder=0.1, reorder_delay_s=0.02)
        async with MemoryTunnel(certs, handler=echo, uplink=link, downlink=link, seed=7) as tunnel:
            check(await interleaved(tunnel, 10))
            return tunnel.network.uplink.statistics().dropped, tunnel.network.downlink.statistics().dropped

    assert await run() == await run()


async def test_trailers_only_stays_so_whatever_is_lost(certs: Path) -> None:
    async def refuse(call: IncomingCall) -> None:
        await call.finish(CallStatus(Code.NOT_FOUND, "no such model", (("x-why", "because"),)))

    link = LinkSettings(delay_s=0.01, loss=0.1, reorder=0.2, reorder_delay_s=0.02)
    async with MemoryTunnel(certs, handler=refuse, uplink=link, downlink=link) as tunnel:
        answers = await asyncio.gather(
            *(exchange(tunnel.proxy, CallHead("/a.B/C", traffic_class="standard"), b"request") for _ in range(50))
        )
        expected = Answer(CallStatus(Code.NOT_FOUND, "no such model", (("x-why", "because"),)), (), None)
        assert answers == [expected] * 50


async def test_headers_without_a_message_are_no_trailers_only(certs: Path) -> None:
    async def empty(call: IncomingCall) -> None:
        await call.send_initial_metadata((("x-start", "here"),))
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=empty) as tunnel:
        call = tunnel.proxy.open(CallHead("/a.B/C", traffic_class="standard"))
        await call.close_sending()
        assert [await call.receive() for _ in range(2)] == [
            InitialMetadata((("x-start", "here"),)),
            CallStatus(Code.OK),
        ]


async def test_every_call_has_one_end_when_the_daemon_dies_under_load(certs: Path) -> None:
    link = LinkSettings(delay_s=0.01, loss=0.02)
    async with MemoryTunnel(certs, handler=echo, uplink=link, downlink=link) as tunnel:
        running = asyncio.get_running_loop().create_task(interleaved(tunnel, 100))
        await asyncio.sleep(0.03)
        tunnel.kill_daemon()
        answers = await running
        codes = {answer.status.code for answer in answers}
        assert codes <= {Code.OK, Code.UNAVAILABLE}
        assert Code.UNAVAILABLE in codes
        for number, answer in enumerate(answers):
            assert list(answer.messages) == conversation(number)[: len(answer.messages)]
        tunnel.start_daemon()
        await asyncio.sleep(2)
        check(await interleaved(tunnel, 10))
