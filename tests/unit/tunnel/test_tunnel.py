from __future__ import annotations

from proxy.errors import Code
from proxy.tunnel.exchange import CallStatus
from proxy.tunnel.tunnel import DaemonLoad, FailedCall


async def test_a_failed_call_says_why_whatever_is_sent() -> None:
    status = CallStatus(Code.UNAVAILABLE, "daemon gpu:4433 is unreachable: no answer", retryable=True)
    call = FailedCall(status)
    await call.send(b"dropped")
    await call.send(b"dropped", last=True)
    await call.close_sending()
    call.cancel()
    assert await call.receive() is status
    assert repr(call) == "<FailedCall 14 'daemon gpu:4433 is unreachable: no answer'>"


def test_a_daemon_that_has_not_reported_is_idle_and_serves() -> None:
    assert DaemonLoad() == DaemonLoad(calls=0, draining=False, serving=True)
