import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.traffic import Deadline
from proxy.clock import MonotonicClock
from proxy.commands.certs import make_certs
from proxy.errors import Code
from proxy.testing.ports import free_port
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, InitialMetadata, OutgoingCall
from proxy.tunnel.tunnel import DaemonLoad, TunnelState
from tests.unit.tcp.conftest import TcpEnds

UNARY = CallHead("/inference.GRPCInferenceService/ServerLive", traffic_class="bulk", unary=True)


async def answer(call: OutgoingCall, message: bytes) -> tuple[list[bytes], CallStatus]:
    await call.send(message, last=True)
    messages: list[bytes] = []
    while not isinstance(event := await call.receive(), CallStatus):
        if not isinstance(event, InitialMetadata):
            messages.append(event)
    return messages, event


async def test_a_call_there_and_back(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    call = tunnel.open(UNARY)

    assert tunnel.state is TunnelState.READY
    assert tunnel.calls == 1
    assert call.peer == f"127.0.0.1:{ends.server.port}"
    assert await answer(call, b"hello") == ([b"hello"], CallStatus(0, metadata=(("x-served", "yes"),)))
    assert tunnel.calls == 0


@pytest.mark.parametrize("unary", [True, False])
async def test_when_the_call_passed_is_noted_and_stays_with_the_tunnel(ends: TcpEnds, unary: bool) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    for _ in range(100):  # until the first report has compared the clocks
        first = CallTimes()
        await answer(tunnel.open(UNARY._replace(times=first, traffic_class="bulk")), b"x")
        if first.far_ahead_s is not None:
            break
    times = CallTimes()
    head = (UNARY if unary else CallHead("/pkg.Service/Method"))._replace(times=times, traffic_class="bulk")
    _, status = await answer(tunnel.open(head), b"hello")
    assert status == CallStatus(0, metadata=(("x-served", "yes"),))
    assert 0 < times.sent_at <= times.answered_at <= times.ended_at
    assert times.answer_began_at == 0.0
    assert times.far is not None
    assert times.far_ahead_s is not None
    assert times.sent_at <= times.far.received_at - times.far_ahead_s + 0.05
    assert times.far.received_at <= times.far.answered_at


async def test_a_peer_that_names_no_class_is_told_no_times(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    times = CallTimes()
    await answer(tunnel.open(UNARY._replace(times=times, traffic_class="")), b"hello")
    assert times.far is None
    assert ends.heads[0].times is not None


async def test_the_daemon_s_load_comes_back(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    for _ in range(100):  # the first report is answered at once
        await answer(tunnel.open(UNARY), b"x")
        if tunnel.load.calls:
            break

    assert tunnel.load == DaemonLoad(calls=3, draining=False, serving=True)


async def test_nobody_there(ends: TcpEnds) -> None:
    port = free_port()
    tunnel = ends.tunnel(port=port)
    await tunnel.wait_settled()
    _, status = await answer(tunnel.open(UNARY), b"x")

    assert tunnel.state is TunnelState.LOST
    refused = "Failed to connect to remote host: Connection refused"
    assert tunnel.reason == f"daemon 127.0.0.1:{port} is unreachable: {refused}"
    assert (status.code, status.retryable) == (Code.UNAVAILABLE, True)
    assert status.message.startswith(f"daemon 127.0.0.1:{port} is unreachable: ")


async def test_a_draining_daemon_s_refusal_may_be_tried_elsewhere(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    ends.server.drain()
    _, status = await answer(tunnel.open(UNARY), b"x")

    assert status == CallStatus(
        Code.UNAVAILABLE,
        "the daemon is shutting down",
        (("x-headway-dropped-reason", "rejected-shutting-down"),),
        retryable=True,
    )
    assert ends.heads == []


async def test_a_certificate_of_another_authority_is_named_as_the_reason(
    ends: TcpEnds, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_certs(tmp_path, now=datetime.now(UTC))
    tunnel = ends.tunnel(ca=tmp_path / "ca.pem")
    await tunnel.wait_settled()
    assert "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate" in tunnel.reason
    assert any("can't be reached: " in message and "issuer certificate" in message for message in caplog.messages)


async def test_a_certificate_for_another_name_is_named_as_the_reason(ends: TcpEnds) -> None:
    tunnel = ends.tunnel(server_name="elsewhere")
    await tunnel.wait_settled()
    assert tunnel.reason.endswith("Hostname Verification Check failed.")


async def test_a_name_that_does_not_exist_is_named_as_the_reason(ends: TcpEnds) -> None:
    tunnel = ends.tunnel(host="no.such.host.invalid")
    await tunnel.wait_settled()
    assert tunnel.reason.startswith("daemon no.such.host.invalid:")
    assert "no.such.host.invalid" in tunnel.reason.partition("is unreachable: ")[2]


async def test_calls_under_way_are_counted(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    calls = [tunnel.open(CallHead("/a.B/C")) for _ in range(3)]
    counts = [tunnel.calls]
    calls[0].cancel()
    calls[0].cancel()
    counts.append(tunnel.calls)
    await calls[1].close_sending()
    async with asyncio.timeout(5):
        while not isinstance(await calls[1].receive(), CallStatus):
            pass
    counts.append(tunnel.calls)
    calls[2].cancel()
    counts.append(tunnel.calls)
    assert counts == [3, 2, 1, 0]


async def test_the_deadline_that_the_daemon_sees_is_the_proxy_s(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    for _ in range(3):  # by then a report has compared the clocks
        await answer(tunnel.open(CallHead("/a.B/C", traffic_class="bulk")), b"x")
    ends.heads.clear()
    now = MonotonicClock().now()
    deadline = Deadline(now + 1.0, now + 30.0)
    await answer(tunnel.open(CallHead("/a.B/C", traffic_class="bulk", deadline=deadline)), b"x")
    [head] = ends.heads
    assert head.deadline.target_at == pytest.approx(now + 1.0, abs=0.1)
    assert head.deadline.limit_at == pytest.approx(now + 30.0, abs=0.1)


async def test_a_connection_that_breaks_fails_its_calls_by_name(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    call = tunnel.open(CallHead("/a.B/C"))
    await call.send(b"one")
    async with asyncio.timeout(5):
        assert await call.receive() == InitialMetadata()
        assert await call.receive() == b"one"
        await ends.server.close()
        status = await call.receive()
    assert isinstance(status, CallStatus)
    assert (status.code, status.retryable) == (Code.UNAVAILABLE, False)
    assert status.message.startswith(f"daemon {tunnel.name} ")
