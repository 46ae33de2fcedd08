from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from proxy.tunnel.methods import UNARY_METHODS, is_unary


def test_the_list_is_what_the_services_say() -> None:
    services = (
        service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    )
    unary = {
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    }
    assert unary - {"/grpc.health.v1.Health/List"} == UNARY_METHODS


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/ModelStreamInfer",
        "/grpc.health.v1.Health/Watch",
        "/inference.GRPCInferenceService/modelinfer",
        "inference.GRPCInferenceService/ModelInfer",
        "",
    ],
)
def test_any_other_method_may_stream(path: str) -> None:
    assert not is_unary(path)
