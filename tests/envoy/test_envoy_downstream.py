"""The proxy reaches a gRPC-over-HTTP/3 server that is not a daemon: client → proxy → HTTP/3 → Envoy → backend.

Envoy knows nothing of headway's own headers and passes the control call on to a backend that has no such method.
"""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from ops.bench.envoy import Listener, Upstream, running_envoy
from proxy.compose.frontend import Proxy
from proxy.config import load_config
from proxy.testing.stack import StackFiles
from tests.conformance.backend import Backend
from tests.conformance.client import Client, outcome, sending
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = [pytest.mark.envoy, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with Backend() as backend:
        files = StackFiles(backend.address)
        listener = Listener("h3", files.path / "certs" / "daemon.pem", files.path / "certs" / "daemon.key")
        async with running_envoy(listener, Upstream("127.0.0.1", backend.port, "h2c"), directory=files.path) as envoy:
            file = files.write("proxy.yaml", daemon_listen=envoy.address, proxy_listen="127.0.0.1:0")
            proxy = Proxy(load_config(file, roles=["proxy"]))
            await proxy.start()
            for tunnel in proxy.tunnels:
                await tunnel.wait_settled()
            async with Client(proxy.address) as client:
                yield client
            await proxy.close()
        files.remove()


async def test_unary_with_many_packets_both_ways(client: Client) -> None:
    request = pb.CallRequest(payload=payload(300_000, seed=1), replies=[pb.Reply(size_bytes=400_000, seed=2)])
    answer = await client.unary(request)

    assert (answer.payload, answer.received_bytes) == (payload(400_000, seed=2), 300_000)


async def test_streams_both_ways(client: Client) -> None:
    requests = [pb.CallRequest(payload=payload(10_000, seed), echo=True) for seed in range(4)]
    result = await outcome(client.bidi(sending(requests)))

    assert result.code is grpc.StatusCode.OK
    assert [message.payload for message in result.messages] == [payload(10_000, seed) for seed in range(4)]


async def test_an_error_without_a_message(client: Client) -> None:
    """Trailers-Only: this way through Envoy, from HTTP/2 to HTTP/3, it stays whole."""
    result = await outcome(client.unary(pb.CallRequest(end=pb.End(code=9, message="full"))))

    assert (result.code, result.details) == (grpc.StatusCode.FAILED_PRECONDITION, "full")


async def test_an_error_after_a_message(client: Client) -> None:
    request = pb.CallRequest(replies=[pb.Reply(size_bytes=3, seed=1)], end=pb.End(code=9, message="full"))
    result = await outcome(client.server_stream(request))

    assert (result.code, result.details) == (grpc.StatusCode.FAILED_PRECONDITION, "full")
    assert [message.payload for message in result.messages] == [payload(3, 1)]
