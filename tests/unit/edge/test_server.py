from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme

from proxy.clock import MonotonicClock
from proxy.config import TlsSettings
from proxy.edge.server import EdgeServer, EdgeSettings
from proxy.errors import Code, HeadwayError
from proxy.tasks import spawn
from proxy.testing.calls import answering
from proxy.tunnel.exchange import CallHandler, CallStatus, IncomingCall

LIMIT = 10_000
METHOD = "/pkg.Service/Method"


@contextlib.asynccontextmanager
async def edge(handler: CallHandler, *, tls: TlsSettings | None = None) -> AsyncIterator[EdgeServer]:
    settings = EdgeSettings("localhost:0", max_message_bytes=LIMIT, tls=tls)
    server = EdgeServer(settings, handler=handler, clock=MonotonicClock())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(
    server: EdgeServer, request: bytes = b"", *, path: str = METHOD, credentials: grpc.ChannelCredentials | None = None
) -> bytes:
    """One unary call of a stock client, with the client's limits out of the way."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
    address = f"localhost:{server.port}"
    channel = (
        grpc.aio.insecure_channel(address, options=options)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=options)
    )
    async with channel:
        call = channel.unary_unary(path)  # type: ignore[call-arg]  # the stubs ask for serializers
        answer: bytes = await call(request, timeout=5)
        return answer


async def echo(call: IncomingCall) -> None:
    message = await call.receive()
    await call.send(message or b"")
    await call.finish(CallStatus(Code.OK))


async def test_any_method_of_any_service_is_served() -> None:
    async with edge(echo) as server:
        assert server.port > 0
        assert await ask(server, b"one", path="/pkg.Service/Method") == b"one"
        assert await ask(server, b"two", path="/inference.GRPCInferenceService/ModelInfer") == b"two"
        assert repr(server) == f"<EdgeServer localhost:0 port={server.port} calls=0>"


class TestMessageLimit:
    async def test_a_message_of_the_limit_passes(self) -> None:
        async with edge(echo) as server:
            assert await ask(server, bytes(LIMIT)) == bytes(LIMIT)

    async def test_a_request_beyond_the_limit_is_refused_by_name(self) -> None:
        async with edge(echo) as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(server, bytes(LIMIT + 1))
            assert await ask(server, b"other calls go on") == b"other calls go on"
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "10001 vs. 10000" in (caught.value.details() or "")


class TestDraining:
    async def test_an_idle_server_is_drained_at_once(self) -> None:
        async with edge(echo) as server:
            assert await server.drain(timeout_s=0)

    async def test_a_call_under_way_is_waited_for(self) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(call: IncomingCall) -> None:
            begun.set()
            await go_on.wait()
            await echo(call)

        async with edge(handler) as server, asyncio.TaskGroup() as group:
            answer = group.create_task(ask(server, b"fine"))
            await asyncio.wait_for(begun.wait(), 5)
            assert server.calls == 1
            assert repr(server).endswith("calls=1>")
            assert not await server.drain(timeout_s=0.01)
            drained = group.create_task(server.drain(timeout_s=5))
            go_on.set()
            assert await drained
            assert await answer == b"fine"

    async def test_stopping_cancels_what_is_under_way(self) -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(call: IncomingCall) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with edge(handler) as server:
            answer = spawn(ask(server), name="ask")
            await asyncio.wait_for(begun.wait(), 5)
            await server.stop()
            await asyncio.wait_for(cancelled.wait(), 5)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answer
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class TestListening:
    async def test_a_port_in_use_is_named(self) -> None:
        async with edge(echo) as server:
            address = f"localhost:{server.port}"
            second = EdgeServer(EdgeSettings(address), handler=echo, clock=MonotonicClock())
            with pytest.raises(HeadwayError, match=rf"^can't listen on {address}"):
                await second.start()
            await second.stop()

    async def test_a_certificate_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        tls = TlsSettings(cert=tmp_path / "gone.pem", key=tmp_path / "gone.key")
        server = EdgeServer(EdgeSettings("localhost:0", tls=tls), handler=echo, clock=MonotonicClock())
        with pytest.raises(HeadwayError, match="No such file or directory"):
            await server.start()
        await server.stop()


class Party:
    """An authority, and in files and bytes what it signed for `localhost`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        self.ca, self.cert, self.key = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(self.key))

    def credentials(self, *, identity: Party | None = None) -> grpc.ChannelCredentials:
        """Of a client that trusts this authority and shows who it is, if it has to."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca.read_bytes(),
            private_key=identity.key.read_bytes() if identity is not None else None,
            certificate_chain=identity.cert.read_bytes() if identity is not None else None,
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Party:
    return Party(tmp_path_factory.mktemp("certificates") / "home")


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> Party:
    return Party(tmp_path_factory.mktemp("certificates") / "abroad")


class TestTls:
    async def test_a_client_that_trusts_the_authority(self, home: Party) -> None:
        async with edge(echo, tls=TlsSettings(home.cert, home.key)) as server:
            assert await ask(server, b"secret", credentials=home.credentials()) == b"secret"

    async def test_a_client_that_does_not(self, home: Party, abroad: Party) -> None:
        async with edge(echo, tls=TlsSettings(home.cert, home.key)) as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(server, credentials=abroad.credentials())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_there_is_no_plaintext_beside_it(self, home: Party) -> None:
        async with edge(echo, tls=TlsSettings(home.cert, home.key)) as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(server)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_http2_is_negotiated(self, home: Party) -> None:
        context = ssl.create_default_context(cafile=str(home.ca))
        context.set_alpn_protocols(["h2"])
        async with edge(answering(), tls=TlsSettings(home.cert, home.key)) as server:
            _, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
            try:
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()


class TestClientCertificates:
    @pytest.fixture
    def tls(self, home: Party) -> TlsSettings:
        return TlsSettings(home.cert, home.key, client_ca=home.ca)

    async def test_one_of_the_authority(self, home: Party, tls: TlsSettings) -> None:
        async with edge(echo, tls=tls) as server:
            assert await ask(server, b"hello", credentials=home.credentials(identity=home)) == b"hello"

    @pytest.mark.parametrize("shown", ["none", "another authority's"])
    async def test_anybody_else_is_not_served(self, home: Party, abroad: Party, tls: TlsSettings, shown: str) -> None:
        identity = None if shown == "none" else abroad
        async with edge(echo, tls=tls) as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(server, credentials=home.credentials(identity=identity))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
