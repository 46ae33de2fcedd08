"""Daemons behind one DNS name that come and go under load: real sockets, and DNS in memory.

They share a port, as pods do, on addresses of their own: 127.0.0.2 and following. Their certificate is for the name.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.compose.backend import Daemon
from proxy.compose.frontend import Proxy
from proxy.config import load_config
from proxy.tasks import spawn
from proxy.testing.memory_resolver import MemoryResolver
from proxy.testing.ports import free_port
from proxy.testing.stack import HeadwayProcess, StackFiles
from tests.conformance.backend import Backend
from tests.conformance.client import Client, Outcome, drained, named, outcome
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = pytest.mark.slow

NAME = "localhost"
"""What the certificates of `headway certs` are for, besides 127.0.0.1 and ::1."""
ECHO = pb.CallRequest(payload=b"content", echo=True)
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
AT_ONCE = 8
LOAD = "load"
NEVER = "1h"


async def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.02)


class Site:
    """Daemons by their hosts, each with a backend of its own, and a proxy that knows only their name."""

    def __init__(self, transport: str, *, interval: str) -> None:
        self.port = free_port()
        settings = {
            "daemons": [f"dns:///{NAME}:{self.port}"],
            "resolve_interval": interval,
            "health": "127.0.0.1:0",
        }
        self.files = StackFiles("127.0.0.1:1", transport=transport, proxy=settings)
        self.resolver = MemoryResolver()
        self.backends: dict[str, Backend] = {}
        self.daemons: dict[str, Daemon] = {}
        self.proxy: Proxy
        self._cleanup = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._cleanup.callback(self.files.remove)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cleanup.aclose()

    async def start_daemon(self, host: str) -> None:
        daemon = self.daemons[host] = Daemon(load_config(await self._daemon_file(host), roles=["daemon"]))
        await daemon.start()
        self._cleanup.push_async_callback(daemon.close)

    async def start_daemon_process(self, host: str) -> HeadwayProcess:
        process = HeadwayProcess("daemon", await self._daemon_file(host))
        await process.start()
        self._cleanup.push_async_callback(process.stop)
        return process

    async def start_proxy(self, hosts: Sequence[str]) -> None:
        self.resolver.names[NAME] = list(hosts)
        path = self.files.write("proxy.yaml", daemon_listen="127.0.0.1:0", proxy_listen="127.0.0.1:0")
        self.proxy = Proxy(load_config(path, roles=["proxy"]), resolver=self.resolver)
        self._cleanup.push_async_callback(self.proxy.close)
        await self.proxy.start()

    @property
    def hosts(self) -> list[str]:
        """Those that the proxy has a tunnel to."""
        return sorted(tunnel.name.rpartition(":")[0] for tunnel in self.proxy.tunnels)

    def served(self, host: str) -> int:
        """How many calls of `load` the daemon's backend has had."""
        return self.backends[host].calls[LOAD].received.count

    async def _daemon_file(self, host: str) -> Path:
        backend = self.backends[host] = await self._cleanup.enter_async_context(Backend())
        self.files.settings["daemon"]["tritons"] = {"a": {"url": backend.address}}
        return self.files.write(f"{host}.yaml", daemon_listen=f"{host}:{self.port}")


@asynccontextmanager
async def load(client: Client) -> AsyncIterator[list[Outcome]]:
    """Calls, so many at once, as long as the block lasts; how they ended."""
    ended: list[Outcome] = []
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            ended.append(await outcome(client.unary(ECHO, metadata=named(LOAD))))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(call_on())
        yield ended
        stop.set()


async def conversation(client: Client) -> Any:
    """A call that goes on both ways until it is told to end."""
    call = client.bidi()
    await call.write(ECHO)
    assert (await call.read()).payload == b"content"
    return call


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_one_of_three_daemons_leaves_and_another_joins_under_load(transport: str) -> None:
    a, b, c, d = (f"127.0.0.{number}" for number in range(2, 6))
    async with Site(transport, interval="200ms") as site:
        await asyncio.gather(*(site.start_daemon(host) for host in (a, b, c, d)))
        await site.start_proxy([a, b, c])
        async with Client(site.proxy.address) as client:
            conversations = [await conversation(client) for _ in range(6)]
            async with load(client) as ended:
                await until(lambda: min(site.served(host) for host in (a, b, c)) > 10)
                assert site.served(d) == 0

                site.resolver.names[NAME] = [b, c, d]
                await until(lambda: site.served(d) > 10)
                at_a = site.served(a)
                assert [tunnel.name for tunnel in site.proxy.retired] == [f"{a}:{site.port}"]
                # Conversations with the one that left go on, and its tunnel waits for them.
                for call in conversations:
                    await call.write(ECHO)
                    assert (await call.read()).payload == b"content"
                assert site.hosts == [a, b, c, d]
                for call in conversations:
                    await call.done_writing()
                    assert (await drained(call)).code is OK
                await until(lambda: site.hosts == [b, c, d])
                seen = len(ended)
                await until(lambda: len(ended) > seen + 30)
            assert {(result.code, result.details) for result in ended} == {(OK, "")}
            assert site.served(a) == at_a
            await until(lambda: site.daemons[a].tunnels == ())
            assert min(site.served(host) for host in (b, c, d)) > 10


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_daemon_that_dies_is_done_without_and_the_name_resolved_at_once(transport: str) -> None:
    """DNS goes on naming the dead one. Its successor is found by asking again because of the death alone."""
    a, b, c = (f"127.0.0.{number}" for number in range(2, 5))
    async with Site(transport, interval=NEVER) as site:
        await asyncio.gather(site.start_daemon(a), site.start_daemon(b))
        dying = await site.start_daemon_process(c)
        await site.start_proxy([a, c])
        async with Client(site.proxy.address) as client, load(client) as ended:
            await until(lambda: min(site.served(a), site.served(c)) > 10)
            site.resolver.names[NAME] = [a, c, b]
            await dying.signal(signal.SIGKILL)
            await until(lambda: site.served(b) > 10)
        failed = [result for result in ended if result.code is not OK]
        # Of what was under way at the dead one nobody can know whether it was executed: it is not repeated. It fails,
        # all together, when a packet is refused; by then the other may have answered any number of calls.
        assert len(failed) <= AT_ONCE
        assert {result.code for result in failed} <= {UNAVAILABLE}
        first_failed = ended.index(failed[0]) if failed else 0
        assert all(result.code is OK for result in ended[first_failed + 2 * AT_ONCE :])
        assert site.hosts == [a, b, c]


async def test_a_name_that_cannot_be_resolved_is_told_and_found_later() -> None:
    a = "127.0.0.2"
    async with Site("quic", interval=NEVER) as site:
        await site.start_daemon(a)
        await site.start_proxy([])
        async with Client(site.proxy.address) as client:
            refused = await outcome(client.unary(ECHO))
            assert (refused.code, refused.details) == (
                UNAVAILABLE,
                f"dns:///{NAME}:{site.port} can't be resolved: Name or service not known",
            )
            site.resolver.names[NAME] = [a]
            await until(lambda: site.proxy.serving, within_s=3.0)
            # Known daemons stay when resolving fails.
            del site.resolver.names[NAME]
            calls = [spawn(outcome(client.unary(ECHO)), name="call") for _ in range(3)]
            assert [(await call).code for call in calls] == [OK, OK, OK]
            assert site.hosts == [a]


async def test_health_of_the_proxy_is_watched_from_no_daemon_to_draining() -> None:
    a = "127.0.0.2"
    async with Site("quic", interval=NEVER) as site:
        await site.start_proxy([])
        async with grpc.aio.insecure_channel(f"127.0.0.1:{site.proxy.health.port}") as channel:
            watch: Any = health_pb2_grpc.HealthStub(channel).Watch
            call = watch(health_pb2.HealthCheckRequest(), timeout=30)
            assert (await call.read()).status == NOT_SERVING
            await site.start_daemon(a)
            site.resolver.names[NAME] = [a]
            assert (await call.read()).status == SERVING
            site.proxy.begin_drain()
            assert (await call.read()).status == NOT_SERVING
            call.cancel()
