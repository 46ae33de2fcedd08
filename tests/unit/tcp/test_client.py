from proxy.errors import Code
from proxy.testing.stack import free_port
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, OutgoingCall
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


async def test_the_daemon_s_load_comes_back(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    # The first report is answered at once, so that it has come when a call made after it is through.
    await answer(tunnel.open(UNARY), b"x")
    await answer(tunnel.open(UNARY), b"y")

    assert tunnel.load == DaemonLoad(calls=3, draining=False, serving=True)


async def test_nobody_there(ends: TcpEnds) -> None:
    port = free_port()
    tunnel = ends.tunnel(port=port)
    await tunnel.wait_settled()
    _, status = await answer(tunnel.open(UNARY), b"x")

    assert tunnel.state is TunnelState.LOST
    assert tunnel.reason == f"daemon 127.0.0.1:{port} is unreachable: no connection"
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
