"""Clients that vanish or never finish what they began (fault 13), over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from proxy.children import send_signal
from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import SERVICE, Backend
from tests.conformance.client import new_call_id
from tests.conformance.journal import CALL_ID_KEY, HOLD_END_KEY, seen
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import Answer, WireClient, framed

ROOT = Path(__file__).parents[2]
UNARY, CLIENT_STREAM = f"/{SERVICE}/Unary", f"/{SERVICE}/ClientStream"
GOOD = framed(pb.CallRequest(payload=b"good", echo=True).SerializeToString())

CALLER = """
import sys
import grpc
from tests.conformance.pb import conformance_pb2 as pb

address, path, call_id = sys.argv[1:]
channel = grpc.insecure_channel(address)
call = channel.unary_unary(path, pb.CallRequest.SerializeToString, pb.CallResponse.FromString)
call(pb.CallRequest(hold=True), metadata=(("x-conformance-call", call_id),), timeout=60)
"""
"""A stock client in a process of its own, waiting for an answer that does not come."""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_client_process_that_is_killed_frees_the_backend(transport: str) -> None:
    call_id = new_call_id()
    async with Backend() as backend, HeadwayStack(backend.address, transport=transport) as stack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLER, stack.address, UNARY, call_id),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            await seen(backend.calls[call_id].started, within_s=20)
        finally:
            send_signal(process, signal.SIGKILL)
            await process.wait()
        await seen(backend.calls[call_id].cancelled, within_s=1)
        assert await stack.daemon.dispatcher.wait_idle(1)
        assert await stack.proxy.server.drain(timeout_s=1)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_request_that_is_never_finished_ends_at_its_deadline(transport: str) -> None:
    """Without a deadline it lasts as long as its client's connection, at the cost of its own stream."""
    call_ids = [new_call_id() for _ in range(20)]
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, transport=transport) as stack,
        WireClient(stack.address) as wire,
    ):
        streams = [
            wire.start(CLIENT_STREAM, (CALL_ID_KEY, call_id), (HOLD_END_KEY, "1"), ("grpc-timeout", "500m"))
            for call_id in call_ids
        ]
        for stream, call_id in zip(streams, call_ids, strict=True):
            stream.send_data(GOOD + GOOD[:7])
            await seen(backend.calls[call_id].started)
        assert (await wire.call(UNARY, body=GOOD)).grpc_status == 0
        answers = [Answer(tuple(await stream.rest(within_s=10))) for stream in streams]
        assert [answer.grpc_status for answer in answers] == [4] * 20
        for call_id in call_ids:
            await seen(backend.calls[call_id].cancelled)
        assert await stack.daemon.dispatcher.wait_idle(1)


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_request_that_is_never_finished_ends_with_its_connection(transport: str) -> None:
    call_id = new_call_id()
    async with Backend() as backend, HeadwayStack(backend.address, transport=transport) as stack:
        async with WireClient(stack.address) as wire:
            wire.start(CLIENT_STREAM, (CALL_ID_KEY, call_id), (HOLD_END_KEY, "1")).send_data(GOOD + GOOD[:7])
            await backend.calls[call_id].received.reach(1)
            wire.abort()
            await seen(backend.calls[call_id].cancelled)
        assert await stack.daemon.dispatcher.wait_idle(1)
