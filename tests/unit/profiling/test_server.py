from __future__ import annotations

import pytest
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb

from proxy.config.values import Address
from proxy.profiling.model import Model, ModelInput, ProfilingError, Queued, Tensor
from proxy.profiling.server import TritonModel, describe
from proxy.testing.ports import free_port
from tests.unit.profiling.small_triton import MESSAGES, SmallTriton, serving, text_model

TENSORS = (Tensor("TEXT", "BYTES", (1, 1), b"\x01\x00\x00\x00a"),)


def at(port: int) -> Address:
    return Address("127.0.0.1", port)


def test_a_model_from_its_metadata_and_configuration() -> None:
    config = config_pb.ModelConfig(max_batch_size=8)
    config.input.add(name="TEXT", data_type=config_pb.TYPE_STRING, dims=[-1])
    config.input.add(name="SEED", data_type=config_pb.TYPE_INT32, dims=[1], optional=True)
    config.dynamic_batching.preferred_batch_size.extend([8, 4])
    config.dynamic_batching.max_queue_delay_microseconds = 500
    config.instance_group.add(count=2, gpus=[0, 1])
    config.instance_group.add(count=1)
    config.response_cache.enable = True
    metadata = pb.ModelMetadataResponse(name="m")
    metadata.inputs.add(name="TEXT", datatype="BYTES", shape=[-1, -1])
    assert describe(metadata, config, "triton 2.51.0") == Model(
        name="m",
        inputs=(ModelInput("TEXT", "BYTES", (-1,)), ModelInput("SEED", "INT32", (1,), optional=True)),
        max_rows=8,
        batched=True,
        preferred=(4, 8),
        batch_delay_s=0.0005,
        instances=5,
        cached=True,
        server="triton 2.51.0",
    )


def test_a_model_that_says_little() -> None:
    config = config_pb.ModelConfig(model_transaction_policy=config_pb.ModelTransactionPolicy(decoupled=True))
    config.input.add(name="TEXT", data_type=config_pb.TYPE_STRING, dims=[1])
    model = describe(pb.ModelMetadataResponse(name="m"), config, "")
    assert model == Model("m", (ModelInput("TEXT", "BYTES", (1,)),), decoupled=True)


async def test_requests_answers_and_statistics() -> None:
    triton = SmallTriton({"m": text_model(max_batch_size=4)})
    async with serving(triton) as port, TritonModel(at(port), "m") as server:
        model = await server.describe()
        assert (model.name, model.server, model.max_rows) == ("m", "triton 2.51.0", 4)
        await server.infer(server.request(TENSORS))
        assert await server.queued() == Queued(8, 8e-6)  # of both versions
        assert repr(server) == f"<TritonModel m at 127.0.0.1:{port}>"
    [request] = triton.requests
    assert (request.model_name, list(request.raw_input_contents)) == ("m", [b"\x01\x00\x00\x00a"])
    assert [(each.name, each.datatype, list(each.shape)) for each in request.inputs] == [("TEXT", "BYTES", [1, 1])]


async def test_a_stream_has_an_item_for_each_message_and_none_for_its_end() -> None:
    async with serving(SmallTriton({"m": text_model()})) as port, TritonModel(at(port), "m") as server:
        assert len([item async for item in server.stream(server.request(TENSORS))]) == MESSAGES


async def test_errors_name_the_model_and_the_server() -> None:
    triton = SmallTriton({"m": text_model()}, error="out of memory")
    async with serving(triton) as port, TritonModel(at(port), "m") as server:
        with pytest.raises(ProfilingError, match=f"^m at 127.0.0.1:{port}: out of memory$"):
            await server.infer(server.request(TENSORS))
        with pytest.raises(ProfilingError, match=f"^m at 127.0.0.1:{port}: out of memory$"):
            [item async for item in server.stream(server.request(TENSORS))]


async def test_a_model_that_is_not_there() -> None:
    async with serving(SmallTriton({})) as port, TritonModel(at(port), "m") as server:
        with pytest.raises(ProfilingError, match="Request for unknown model: 'm' is not found"):
            await server.describe()


async def test_a_server_that_is_away() -> None:
    port = free_port()
    async with TritonModel(at(port), "m", reach_timeout_s=0.05) as server:
        with pytest.raises(ProfilingError, match=f"127.0.0.1:{port} cannot be reached within 0.05 s"):
            await server.describe()
