import asyncio
import logging
import signal

import pytest

from proxy.compose.run import run_until_signalled
from proxy.tasks import spawn


class FakeServer:
    """Drains for as long as the test says."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.started = asyncio.Event()
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()

    @property
    def address(self) -> str:
        return "localhost:1"

    async def start(self) -> None:
        self.story.append("start")
        self.started.set()

    async def drain(self) -> bool:
        self.story.append("drain")
        self.draining.set()
        await self.drained.wait()
        self.story.append("drained")
        return True

    async def close(self) -> None:
        self.story.append("close")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_0(number: signal.Signals) -> None:
    server = FakeServer()
    running = spawn(run_until_signalled(server, noun="Proxy"), name="server")
    await server.started.wait()
    signal.raise_signal(number)
    await server.draining.wait()
    server.drained.set()

    assert await running == 0
    assert server.story == ["start", "drain", "drained", "close"]


async def test_a_second_signal_does_not_wait_for_the_drain() -> None:
    server = FakeServer()
    running = spawn(run_until_signalled(server, noun="Proxy"), name="server")
    await server.started.wait()
    signal.raise_signal(signal.SIGTERM)
    await server.draining.wait()
    signal.raise_signal(signal.SIGTERM)

    assert await running == 0
    assert server.story == ["start", "drain", "close"]


async def test_what_cannot_start_is_closed() -> None:
    class Broken(FakeServer):
        async def start(self) -> None:
            raise OSError("no such address")

    server = Broken()
    with pytest.raises(OSError, match="no such address"):
        await run_until_signalled(server, noun="Proxy")

    assert server.story == ["close"]


async def test_the_log_says_where_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = FakeServer()
    server.drained.set()
    running = spawn(run_until_signalled(server, noun="Daemon"), name="server")
    await server.started.wait()
    signal.raise_signal(signal.SIGTERM)
    await running

    assert [record.message for record in caplog.records] == [
        "Daemon listens on localhost:1",
        "Daemon stops: calls in progress may finish; a second signal stops at once",
        "Daemon stopped",
    ]
