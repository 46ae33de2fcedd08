"""A wall clock that jumps by an hour, forwards and back, in proxy and daemon (fault 15): class deadlines don't notice.

The jumping clock is a `sitecustomize` of the two processes, which every Python program imports when it starts. gRPC
deadlines are left out: grpc hands them to Python as wall times that it makes of its monotonic ones in the same call, by
a clock that nothing in Python can move. That no code of headway's asks for the date to keep a deadline is
`tests/architecture`'s to say.
"""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest

from proxy.clock import MonotonicClock
from proxy.testing.stack import ProcessStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, outcome
from tests.conformance.pb import conformance_pb2 as pb

NOW = MonotonicClock().now
STRICT = {"classes": {"strict": {"deadline": "2s", "on_miss": "fail"}}, "default_class": "strict"}

JUMPING = """
import itertools, time

real_ns = time.time_ns
jumps = itertools.cycle((3600, -3600))
time.time_ns = lambda: real_ns() + next(jumps) * 10**9
time.time = lambda: time.time_ns() / 1e9
open({marker!r}, "a").close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_an_hour_to_and_fro_changes_no_deadline(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "jumps"
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(marker=str(marker)), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    async with (
        Backend() as backend,
        ProcessStack(backend.address, transport=transport, top=STRICT) as stack,
        Client(stack.address) as client,
    ):
        assert marker.exists()
        await client.empty(pb.Nothing(), wait_for_ready=True)
        for _ in range(10):
            result = await outcome(client.unary(pb.CallRequest(payload=b"content", echo=True)))
            assert result.code is grpc.StatusCode.OK
            assert 0 < float(dict(result.trailing)["x-headway-slack-ms"]) <= 2000
        started_at = NOW()
        late = await outcome(client.unary(pb.CallRequest(hold=True), metadata=(("x-deadline-ms", "300"),)))
        assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.25 < NOW() - started_at < 1
