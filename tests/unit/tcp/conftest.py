from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies.traffic import TrafficClass
from proxy.clock import MonotonicClock
from proxy.commands.certs import make_certs
from proxy.tcp.client import TcpClientSettings, TcpTunnel
from proxy.tcp.server import TcpServer, TcpServerSettings
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall
from proxy.tunnel.gate import Gate, TokenCheck
from proxy.tunnel.tunnel import DaemonLoad

TOKEN = b"the token"


@dataclass
class TcpEnds:
    """A daemon's end that echoes, and how to make a proxy's end."""

    server: TcpServer
    tunnel: Callable[..., TcpTunnel]
    heads: list[CallHead] = field(default_factory=list)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certs")
    make_certs(path, now=datetime.now(UTC), force=True)
    return path


@pytest.fixture
async def ends(certs: Path) -> AsyncIterator[TcpEnds]:
    clock = MonotonicClock()
    heads: list[CallHead] = []
    tunnels: list[TcpTunnel] = []

    async def echo(call: IncomingCall) -> None:
        heads.append(call.head)
        while (message := await call.receive()) is not None:
            await call.send(message)
        await call.finish(CallStatus(0, metadata=(("x-served", "yes"),)))

    server = TcpServer(
        TcpServerSettings("127.0.0.1:0", certs / "daemon.pem", certs / "daemon.key"),
        handler=echo,
        gate=Gate(
            tokens=TokenCheck(lambda: (TOKEN,)), classes={"bulk": TrafficClass("bulk", 7.0)}, default_class="bulk"
        ),
        clock=clock,
        load=lambda: DaemonLoad(calls=3, serving=True),
    )
    await server.start()

    def tunnel(
        *, token: bytes = TOKEN, port: int | None = None, host: str = "127.0.0.1", **settings_: Any
    ) -> TcpTunnel:
        settings = TcpClientSettings(
            f"{host}:{server.port if port is None else port}",
            **{"ca": certs / "ca.pem", "token": lambda: token, **settings_},
        )
        tunnels.append(TcpTunnel(settings, clock=clock))
        return tunnels[-1]

    yield TcpEnds(server, tunnel, heads)
    for made in tunnels:
        await made.close()
    await server.close()
