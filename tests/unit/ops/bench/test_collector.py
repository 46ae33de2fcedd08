import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest

from ops.bench.collector import EXPORT
from ops.bench.processes import started
from ops.bench.serving import port_of


async def call(state: str, tmp_path: Path, *, timeout_s: float) -> bytes:
    command = [sys.executable, "-m", "ops.bench.collector", state]
    async with (
        started("collector", command, log=tmp_path / "log") as child,
        grpc.aio.insecure_channel(f"127.0.0.1:{port_of(child.ready_line)}") as channel,
    ):
        export = channel.unary_unary(EXPORT, None, None)
        answer: bytes = await export(b"", timeout=timeout_s, wait_for_ready=True)
        return answer


async def test_one_that_is_well_answers(tmp_path: Path) -> None:
    assert await call("well", tmp_path, timeout_s=10) == b""


async def test_one_that_hangs_does_not(tmp_path: Path) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await call("hung", tmp_path, timeout_s=0.2)
