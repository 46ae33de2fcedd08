"""Health and reflection are the backend's own, seen through the path."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.conformance.backend import SERVICE
from tests.conformance.client import Client, new_call_id, outcome, sending
from tests.conformance.conftest import Target

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def health_call(client: Client, method: str) -> Any:
    codec = (health_pb2.HealthCheckRequest.SerializeToString, health_pb2.HealthCheckResponse.FromString)
    arity = client.channel.unary_unary if method == "Check" else client.channel.unary_stream
    return arity(f"/grpc.health.v1.Health/{method}", *codec)


def reflection_call(client: Client, *requests: reflection_pb2.ServerReflectionRequest) -> Any:
    method = client.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    # The published stubs know no asynchronous iterator of requests as the first argument.
    untyped: Any = method
    return untyped(sending(requests))


async def test_health_check(client: Client) -> None:
    response = await health_call(client, "Check")(health_pb2.HealthCheckRequest())

    assert response.status == SERVING


async def test_health_check_of_an_unknown_service(client: Client) -> None:
    result = await outcome(health_call(client, "Check")(health_pb2.HealthCheckRequest(service="nobody.Here")))

    assert result.code is grpc.StatusCode.NOT_FOUND


async def test_health_watch_follows_changes(client: Client, target: Target) -> None:
    service = new_call_id()
    call = health_call(client, "Watch")(health_pb2.HealthCheckRequest(service=service))
    async with asyncio.timeout(5):
        assert (await call.read()).status == SERVICE_UNKNOWN
        for status in (SERVING, NOT_SERVING, SERVING):
            await target.backend.health.set(service, status)
            assert (await call.read()).status == status
    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_reflection_lists_the_backend_s_services(client: Client) -> None:
    result = await outcome(reflection_call(client, reflection_pb2.ServerReflectionRequest(list_services="")))

    [response] = result.messages
    assert {service.name for service in response.list_services_response.service} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_hands_out_the_file_of_a_symbol(client: Client) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="nobody.Here"),
    ]
    result = await outcome(reflection_call(client, *requests))

    found, missing = result.messages
    assert b"headway.conformance.v1" in found.file_descriptor_response.file_descriptor_proto[0]
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
