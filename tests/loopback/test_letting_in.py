"""Tokens and certificates between the two ends, over real sockets: rotated, unknown, of another authority."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import pytest

from proxy.commands.certs import make_certs
from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, outcome
from tests.conformance.pb import conformance_pb2 as pb

ECHO = pb.CallRequest(payload=b"content", echo=True)
OTHER = "another-token-for-tests"


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with Backend() as backend:
        yield backend


@pytest.mark.slow
async def test_a_token_can_be_rotated_without_a_restart(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def rotate(transport: str) -> str:
        """The old token."""
        async with HeadwayStack(backend.address, transport=transport) as stack, Client(stack.address) as client:
            # Both ends read the same file, as if it were copied to both: while it holds both tokens, no call is
            # refused, whichever end takes the change up first. A file is read again after a second.
            token = stack.files.path / "certs" / "token"
            old = token.read_text()
            codes = set()
            for text in (old + OTHER + "\n", OTHER + "\n" + old, OTHER + "\n"):
                token.write_text(text)
                for _ in range(11):
                    codes.add((await outcome(client.unary(ECHO))).code)
                    await asyncio.sleep(0.1)
            assert codes == {grpc.StatusCode.OK}, transport
            return old.strip()

    # Side by side, because what takes the time is waiting.
    tokens = {OTHER, *await asyncio.gather(rotate("quic"), rotate("tcp"))}
    assert not any(token in message for message in caplog.messages for token in tokens)


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_token_that_the_daemon_does_not_know(
    backend: Backend, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    stack = HeadwayStack(backend.address, transport=transport)
    certs = stack.files.path / "certs"
    shutil.copy(certs / "token", certs / "daemon-token")
    stack.files.settings["daemon"]["token_file"] = "certs/daemon-token"
    (certs / "token").write_text(OTHER + "\n")
    async with stack, Client(stack.address) as client:
        refused = await outcome(client.unary(ECHO))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        assert refused.details == "the headway-token header is missing or wrong"
    assert (
        f"Daemon {stack.daemon.address} does not let us in: the headway-token header is missing or wrong"
        in caplog.messages
    )
    assert not any(OTHER in message for message in caplog.messages)


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_daemon_of_another_authority(
    backend: Backend, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    stack = HeadwayStack(backend.address, transport=transport)
    make_certs(stack.files.path / "other", now=datetime.now(UTC))
    stack.files.settings["proxy"]["ca"] = "other/ca.pem"
    async with stack, Client(stack.address) as client:
        refused = await outcome(client.unary(ECHO))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert refused.details.startswith(f"daemon {stack.daemon.address} is unreachable: ")
        assert "unable to get local issuer certificate" in refused.details
    [line] = [message for message in caplog.messages if "can't be reached: " in message]
    assert line.startswith(f"Daemon {stack.daemon.address} can't be reached: ")
    assert "unable to get local issuer certificate" in line


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_client_certificates(backend: Backend, transport: str) -> None:
    shown = {"client_cert": "certs/proxy.pem", "client_key": "certs/proxy.key"}
    asking = {"client_ca": "certs/ca.pem"}
    codes = []
    for proxy in (shown, {}):
        stack = HeadwayStack(backend.address, transport=transport, proxy=proxy, daemon=asking)
        async with stack, Client(stack.address) as client:
            codes.append((await outcome(client.unary(ECHO))).code)
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE]
