"""A slow reader slows its own writer, bounds what is held for it, and costs nobody else anything.

48 MB in one stream, more than any window or buffer, with 20 other calls on the same connection and tunnel.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.conformance.backend import Backend
from tests.conformance.client import Client, named, new_call_id
from tests.conformance.conftest import Path, Target
from tests.conformance.journal import CallRecord
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

CHUNK_BYTES = 1_000_000
CHUNKS = 48
OTHERS = 20
GROWTH_LIMIT_BYTES = 32 * 1024 * 1024
# The backend holds a window or two of an unread stream and so does each hop; far from all of it.
WRITTEN_AHEAD_CHUNKS = 36

pytestmark = [pytest.mark.slow]


async def others_go_on(client: Client) -> None:
    """Make `OTHERS` calls at once, of 20 kB each way, that all must be answered within 5 s."""
    contents = [payload(20_000, seed) for seed in range(OTHERS)]
    async with asyncio.timeout(5):
        responses = await asyncio.gather(
            *(client.unary(pb.CallRequest(payload=content, echo=True)) for content in contents)
        )
    assert [response.payload for response in responses] == contents


async def read_slowly(client: Client, record: CallRecord, call: Any, checkpoint: Callable[[], None]) -> None:
    """Read nothing, then a bit at a time, with other calls in between; check every byte."""
    for _ in range(5):
        await others_go_on(client)
    checkpoint()
    assert record.sent.count < WRITTEN_AHEAD_CHUNKS, "the backend was let write ahead of a reader that does not read"
    for seed in range(CHUNKS):
        content = (await call.read()).payload
        assert content == payload(CHUNK_BYTES, seed)
        if seed % 8 == 0:
            await others_go_on(client)
            checkpoint()


async def upload_slowly(client: Client, record: CallRecord, call: Any, checkpoint: Callable[[], None]) -> None:
    """Write until the way is full, with a backend that does not read; let it read then, to the end."""
    digest = hashlib.sha256()
    written = 0

    async def write_all() -> None:
        nonlocal written
        for seed in range(CHUNKS):
            content = payload(CHUNK_BYTES, seed)
            digest.update(content)
            await call.write(pb.CallRequest(payload=content, hold=seed == 0))
            written += 1
        await call.done_writing()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write_all(), name="upload")
        await record.received.reach(1)
        for _ in range(8):
            await others_go_on(client)
            checkpoint()
        assert written < WRITTEN_AHEAD_CHUNKS, "the client was let write ahead of a backend that does not read"
        record.gate.set()
    response = await call
    checkpoint()
    assert response.received_messages == CHUNKS
    assert response.received_sha256 == digest.digest()


def download(client: Client, call_id: str) -> Any:
    replies = [pb.Reply(size_bytes=CHUNK_BYTES, seed=seed) for seed in range(CHUNKS)]
    return client.server_stream(pb.CallRequest(replies=replies), metadata=named(call_id))


async def test_a_slow_reader_costs_only_its_own_stream(client: Client, target: Target) -> None:
    call_id = new_call_id()
    await read_slowly(client, target.backend.calls[call_id], download(client, call_id), lambda: None)


async def test_a_slow_backend_costs_only_its_own_stream(client: Client, target: Target) -> None:
    call_id = new_call_id()
    call = client.client_stream(metadata=named(call_id))

    await upload_slowly(client, target.backend.calls[call_id], call, lambda: None)


class Memory:
    """Resident memory of headway's processes, against what they had when idle."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._idle = self._now()

    def _now(self) -> dict[str, int]:
        return {name: process.memory_info().rss for name, process in self._processes.items()}

    def check(self) -> None:
        growth = {name: now - self._idle[name] for name, now in self._now().items()}
        assert {name: size for name, size in growth.items() if size > GROWTH_LIMIT_BYTES} == {}


@pytest.mark.headway_only
async def test_memory_stays_within_32_mib_of_idle(path: Path, backend: Backend) -> None:
    async with path.processes(backend.address) as stack, Client(stack.address) as client:
        for _ in range(3):
            await others_go_on(client)
        memory = Memory(stack.pids)
        call_id = new_call_id()
        await read_slowly(client, backend.calls[call_id], download(client, call_id), memory.check)
        memory.check()
        call_id = new_call_id()
        call = client.client_stream(metadata=named(call_id))
        await upload_slowly(client, backend.calls[call_id], call, memory.check)
        memory.check()


async def test_ten_stopped_readers_leave_the_rest_of_the_tunnel_usable(client: Client) -> None:
    """Together they could hold more than a connection's window: credit must come back as bytes arrive."""
    calls = [download(client, new_call_id()) for _ in range(10)]
    for call in calls:
        assert len((await call.read()).payload) == CHUNK_BYTES
    for _ in range(3):
        await others_go_on(client)
    for call in calls:
        call.cancel()
    await others_go_on(client)
