"""The paths of `overhead`, by name. Each is started in processes of its own in front of the same backend."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ops.bench.certificates import Certificates
from ops.bench.envoy import Listener, Protocol, Upstream, running_envoy
from ops.bench.headway import HeadwaySettings, running_headway
from ops.bench.processes import Child, python, started
from ops.bench.serving import port_of


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a path is started with."""

    backend: str
    certificates: Certificates
    directory: Path
    """For its configuration and logs."""
    headway: HeadwaySettings


@dataclass(frozen=True, slots=True)
class Way:
    """A path that is open."""

    address: str
    children: tuple[Child, ...]
    """The processes between client and backend."""


Peer = Callable[[str, Surroundings], contextlib.AbstractAsyncContextManager[Way]]


@contextlib.asynccontextmanager
async def _direct(_name: str, around: Surroundings) -> AsyncIterator[Way]:
    yield Way(around.backend, ())


@contextlib.asynccontextmanager
async def _hop(name: str, around: Surroundings) -> AsyncIterator[Way]:
    command = python("ops.bench.hop", around.backend)
    async with started(name, command, log=around.directory / f"{name}.log") as child:
        yield Way(f"127.0.0.1:{port_of(child.ready_line)}", (child,))


def _envoys(between: Protocol) -> Peer:
    @contextlib.asynccontextmanager
    async def pair(name: str, around: Surroundings) -> AsyncIterator[Way]:
        tls = around.certificates
        host, _, port = around.backend.rpartition(":")
        async with (
            running_envoy(
                Listener(between, tls.cert, tls.key),
                Upstream(host, int(port), "h2c"),
                directory=around.directory,
                name=f"{name}-far",
            ) as far,
            running_envoy(
                Listener("h2c"),
                Upstream("127.0.0.1", far.port, between, tls.ca),
                directory=around.directory,
                name=f"{name}-near",
            ) as near,
        ):
            yield Way(near.address, (near.child, far.child))

    return pair


def _headway(transport: str, **environment: str) -> Peer:
    @contextlib.asynccontextmanager
    async def pair(name: str, around: Surroundings) -> AsyncIterator[Way]:
        settings = replace(
            around.headway, transport=transport, environment={**environment, **around.headway.environment}
        )
        (around.directory / name).mkdir()
        async with running_headway(
            name,
            settings,
            backend=around.backend,
            certificates=around.certificates,
            directory=around.directory / name,
        ) as headway:
            yield Way(headway.address, (headway.proxy, headway.daemon))

    return pair


_UNTRACED = {"OTEL_SDK_DISABLED": "true"}

PEERS: dict[str, Peer] = {
    "direct": _direct,
    "hop": _hop,
    "envoy-h3": _envoys("h3"),
    "envoy-h2": _envoys("h2"),
    "headway-quic": _headway("quic"),
    "headway-tcp": _headway("tcp"),
    "headway-quic-untraced": _headway("quic", **_UNTRACED),
    "headway-tcp-untraced": _headway("tcp", **_UNTRACED),
}
"""direct: the client calls the backend. hop: one bare grpc.aio pass-through. envoy-…: Envoy to Envoy, with TLS over
HTTP/3 or HTTP/2 between them. headway-…: proxy and daemon; `untraced` turns OpenTelemetry off, as it is in the
Envoys and the hop."""
