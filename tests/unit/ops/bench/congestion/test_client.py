import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from ops.bench.congestion.backend import arrivals_file, handlers
from ops.bench.congestion.client import MESSAGE_BYTES, Client
from ops.bench.network.backend import METHOD
from ops.bench.network.requests import Request
from ops.bench.serving import method_handlers
from proxy.testing.ports import free_port

LASTS_S = 0.05
TCP_PORT = free_port()


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers(handlers("127.0.0.1", TCP_PORT, tmp_path)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=0)


def transfer(to: str, directory: Path, **values: Any) -> dict[str, Any]:
    now = time.monotonic()
    flow = {"number": 3, "kind": "tunnel", "to": to, "control": "", "direction": "up"}
    return {"transfer": [{**flow, "starts_at": now, "ends_at": now + LASTS_S, **values}], "directory": str(directory)}


async def test_a_download_is_noted_until_its_time_is_over(backend: str, tmp_path: Path) -> None:
    client = Client()
    command = transfer(backend, tmp_path, direction="down")
    assert await client.answer(command) == {}
    await client.close()
    arrivals = json.loads((tmp_path / arrivals_file(3)).read_text())
    assert {size for _, size in arrivals} == {MESSAGE_BYTES}
    assert arrivals[-1][0] <= command["transfer"][0]["ends_at"] + 1.0


async def test_an_upload_ends_with_its_time(tmp_path: Path) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers(handlers("127.0.0.1", free_port(), tmp_path)),))
    to = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    client = Client()
    assert await client.answer({"warm_up": [to], "timeout": 10.0}) == {}
    assert await client.answer(transfer(to, tmp_path)) == {}
    await client.close()
    await server.stop(grace=10)  # once the handler has written what came
    assert {size for _, size in json.loads((tmp_path / arrivals_file(3)).read_text())} == {MESSAGE_BYTES}


async def test_a_plain_connection_sends_with_the_control_that_it_is_told(backend: str, tmp_path: Path) -> None:
    client = Client()
    # Until the sink listens, there is nobody to connect to.
    assert await client.answer({"warm_up": [backend], "timeout": 10.0}) == {}
    command = transfer(f"127.0.0.1:{TCP_PORT}", tmp_path, kind="kernel", control="reno")
    assert await client.answer(command) == {}
    refused = await client.answer(transfer("127.0.0.1:1", tmp_path, kind="kernel", control="reno"))
    assert "ConnectionRefusedError" in refused["error"]
    unknown = await client.answer(transfer("127.0.0.1:1", tmp_path, kind="kernel", control="none-such"))
    assert "FileNotFoundError" in unknown["error"]
    await client.close()


async def test_a_backend_that_is_away_is_told(tmp_path: Path) -> None:
    client = Client()
    answer = await client.answer({"warm_up": [f"127.0.0.1:{free_port()}"], "timeout": 0.05})
    assert re.match("no call came through: (UNAVAILABLE|DEADLINE_EXCEEDED)", answer["error"])
    await client.close()


@pytest.mark.parametrize("flood", [None, {"calls": 2, "bytes": [10, 20], "lead": 0.01}])
async def test_probes_on_an_idle_link_and_under_a_flood(
    backend: str, tmp_path: Path, flood: dict[str, Any] | None
) -> None:
    requests = [Request(number, "realtime", 0.02 * number, 100) for number in range(3)]
    asked, outcomes = tmp_path / "requests.json", tmp_path / "outcomes.json"
    asked.write_text(json.dumps([asdict(request) for request in requests]))
    client = Client()
    command = {"probe": backend, "requests": str(asked), "seed": 1, "flood": flood, "outcomes": str(outcomes)}
    answer = await client.answer(command)
    await client.close()
    assert [item["status"] for item in json.loads(outcomes.read_text())] == ["OK"] * 3
    assert answer["errors"] == 0
    assert (answer["bulk_bytes"] > 0) is (flood is not None)


async def test_bulk_calls_that_fail_are_counted(tmp_path: Path) -> None:
    async def refuse(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        if metadata["x-traffic-class"] == "bulk":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")
        return request

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers({METHOD: grpc.unary_unary_rpc_method_handler(refuse)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    asked, outcomes = tmp_path / "requests.json", tmp_path / "outcomes.json"
    asked.write_text(json.dumps([asdict(Request(0, "realtime", 0.05, 10))]))
    client = Client()
    flood = {"calls": 1, "bytes": [10, 20], "lead": 0.0}
    command = {
        "probe": f"127.0.0.1:{port}",
        "requests": str(asked),
        "seed": 1,
        "flood": flood,
        "outcomes": str(outcomes),
    }
    answer = await client.answer(command)
    await client.close()
    await server.stop(grace=0)
    assert answer["bulk_bytes"] == 0
    assert answer["errors"] >= 1
