"""The health service, asked by the stock stubs over a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.errors import HeadwayError
from proxy.http2.health import HealthServer
from tests.conformance.client import outcome

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Asked:
    """A server whose state the test sets, and a client."""

    def __init__(self) -> None:
        self.serving = False
        self.server = HealthServer(serving=lambda: self.serving, most_watchers=1, look_s=0.005)
        self.channel: Any  # the published stubs ask for the argument that `close` need not have
        self.stub: Any

    async def start(self) -> None:
        await self.server.start("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub = health_pb2_grpc.HealthStub(self.channel)

    async def check(self, service: str = "") -> int:
        return int((await self.stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)

    def watch(self, service: str = "") -> Any:
        return self.stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=10)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    asked = Asked()
    await asked.start()
    yield asked
    await asked.channel.close()
    await asked.server.stop()


async def test_check_is_the_state_of_now(asked: Asked) -> None:
    assert await asked.check() == NOT_SERVING
    asked.serving = True
    assert await asked.check() == SERVING


async def test_liveness_does_not_depend_on_daemons(asked: Asked) -> None:
    assert await asked.check("liveness") == SERVING


async def test_check_of_an_unknown_service(asked: Asked) -> None:
    result = await outcome(asked.stub.Check(health_pb2.HealthCheckRequest(service="nobody.Here")))
    assert result.code is grpc.StatusCode.NOT_FOUND
    assert result.details == "no service 'nobody.Here' here; known: '', 'liveness'"


async def test_watch_tells_of_changes(asked: Asked) -> None:
    call = asked.watch()
    async with asyncio.timeout(5):
        assert (await call.read()).status == NOT_SERVING
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            asked.serving = serving
            assert (await call.read()).status == status
    call.cancel()


async def test_watch_of_an_unknown_service_stays_open(asked: Asked) -> None:
    call = asked.watch("nobody.Here")
    async with asyncio.timeout(5):
        assert (await call.read()).status == SERVICE_UNKNOWN
    assert not call.done()
    call.cancel()


async def test_list(asked: Asked) -> None:
    """Read as gRPC proposal A90 defines it, which the installed health_pb2 does not know yet."""
    asked.serving = True
    file = descriptor_pb2.FileDescriptorProto(name="list.proto", syntax="proto3", package="test")
    answer = file.message_type.add(name="HealthCheckResponse")
    answer.field.add(name="status", number=1, type="TYPE_INT32", label="LABEL_OPTIONAL")
    listed = file.message_type.add(name="HealthListResponse")
    entry = listed.nested_type.add(name="StatusesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    entry.field.add(
        name="value", number=2, type="TYPE_MESSAGE", type_name=".test.HealthCheckResponse", label="LABEL_OPTIONAL"
    )
    listed.field.add(
        name="statuses",
        number=1,
        type="TYPE_MESSAGE",
        type_name=".test.HealthListResponse.StatusesEntry",
        label="LABEL_REPEATED",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    response: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.HealthListResponse"))
    call: Any = asked.channel.unary_unary("/grpc.health.v1.Health/List", lambda request: request, response.FromString)
    statuses = (await call(b"", timeout=5)).statuses
    assert {name: value.status for name, value in statuses.items()} == {"": SERVING, "liveness": SERVING}


async def test_watchers_are_limited_and_checks_are_not(asked: Asked) -> None:
    first = asked.watch()
    async with asyncio.timeout(5):
        await first.read()
        refused = await outcome(asked.watch())
        assert (refused.code, refused.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "1 watch already")
        assert await asked.check() == NOT_SERVING
        first.cancel()
        while (await outcome(asked.stub.Watch(health_pb2.HealthCheckRequest(), timeout=0.05))).messages == ():
            pass


async def test_a_port_that_is_taken(asked: Asked) -> None:
    other = HealthServer(serving=lambda: True)
    with pytest.raises(HeadwayError, match=f"can't listen on 127.0.0.1:{asked.server.port}"):
        await other.start(f"127.0.0.1:{asked.server.port}")
    await other.stop()


async def test_what_it_says_of_itself(asked: Asked) -> None:
    assert repr(asked.server) == f"<HealthServer NOT_SERVING port={asked.server.port} watchers=0>"
    assert repr(HealthServer(serving=lambda: True)) == "<HealthServer SERVING port=off watchers=0>"
