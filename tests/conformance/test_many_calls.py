"""Many calls at once and many in a row."""

import asyncio
import gc
import random

import grpc
import psutil
import pytest

from tests.conformance.backend import EOF
from tests.conformance.client import Client
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = [pytest.mark.slow]


async def test_a_hundred_interleaved_streams(client: Client) -> None:
    """Each stream has its own content and its own rhythm; nothing of one turns up in another."""

    async def converse(stream: int) -> None:
        rng = random.Random(stream)
        call = client.bidi()
        for message in range(10):
            content = payload(rng.randrange(4096), seed=stream * 1000 + message)
            await call.write(pb.CallRequest(payload=content, echo=True))
            response = await call.read()
            assert (response.payload, response.received_messages) == (content, message + 1)
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
        await call.done_writing()
        assert await call.read() is EOF
        assert await call.code() is grpc.StatusCode.OK

    async with asyncio.timeout(30):
        await asyncio.gather(*(converse(stream) for stream in range(100)))


async def test_a_thousand_unary_calls_at_once(client: Client) -> None:
    contents = [payload(100, seed) for seed in range(1000)]
    async with asyncio.timeout(30):
        responses = await asyncio.gather(
            *(client.unary(pb.CallRequest(payload=content, echo=True)) for content in contents)
        )

    assert [response.payload for response in responses] == contents


async def test_two_hundred_calls_in_a_row_leave_nothing_behind(client: Client) -> None:
    """Tasks and descriptors of the whole way but the subprocess variant's: both ends run in this process."""

    async def calls(count: int) -> None:
        for number in range(count):
            response = await client.unary(pb.CallRequest(payload=b"%d" % number, echo=True))
            assert response.payload == b"%d" % number

    def held() -> tuple[int, int]:
        gc.collect()
        return len(asyncio.all_tasks()), psutil.Process().num_fds()

    await calls(50)
    tasks_before, descriptors_before = held()
    async with asyncio.timeout(50):
        await calls(200)
    tasks_after, descriptors_after = held()

    # A call may still be in its last step when its answer is here.
    assert tasks_after <= tasks_before + 5
    assert descriptors_after <= descriptors_before + 2


async def test_calls_that_fail_or_are_cancelled_leave_nothing_behind(client: Client) -> None:
    tasks_before = len(asyncio.all_tasks())
    for number in range(50):
        failing = client.unary(pb.CallRequest(end=pb.End(code=5, message="no")))
        assert await failing.code() is grpc.StatusCode.NOT_FOUND
        cancelled = client.bidi()
        await cancelled.write(pb.CallRequest(payload=b"%d" % number, echo=True))
        assert (await cancelled.read()).payload == b"%d" % number
        cancelled.cancel()
        late = client.unary(pb.CallRequest(hold=True), timeout=0.005)
        assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks_before + 5:
            await client.empty(pb.Nothing())  # a round trip through every hop, in which they end what has ended
