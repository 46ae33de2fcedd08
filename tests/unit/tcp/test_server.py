import asyncio

import pytest

from policies.traffic import Deadline
from proxy.clock import MonotonicClock
from proxy.errors import Code, HeadwayError
from proxy.tcp.server import TcpServer, TcpServerSettings
from proxy.tunnel.exchange import CallHead
from proxy.tunnel.gate import Gate, TokenCheck
from proxy.tunnel.tunnel import DaemonLoad
from tests.unit.tcp.conftest import TcpEnds
from tests.unit.tcp.test_client import UNARY, answer


async def test_a_wrong_token_is_refused_and_not_logged(ends: TcpEnds, caplog: pytest.LogCaptureFixture) -> None:
    tunnel = ends.tunnel(token=b"guess")
    await tunnel.wait_settled()
    messages, status = await answer(tunnel.open(UNARY), b"x")

    assert (messages, status.code) == ([], Code.UNAUTHENTICATED)
    assert status.message == "the headway-token header is missing or wrong"
    assert ends.heads == []
    assert "Refused a call from 127.0.0.1:" in caplog.text
    assert "guess" not in caplog.text


async def test_the_handler_sees_the_call_as_the_proxy_has_it(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    now = MonotonicClock().now()
    head = CallHead(
        "/pkg.Service/Method",
        (("x-own", "1"), ("x-own-bin", b"\xff")),
        traffic_class="bulk",
        deadline=Deadline(now + 2.0, now + 9.0),
        peer="127.0.0.1:5555",
    )
    await answer(tunnel.open(head), b"x")

    [seen] = ends.heads
    assert (seen.path, seen.traffic_class, seen.peer) == ("/pkg.Service/Method", "bulk", "127.0.0.1:5555")
    assert dict(seen.metadata) == {"x-own": "1", "x-own-bin": b"\xff"}
    # One process, one clock; before the clocks are compared the deadline counts from arrival.
    assert now + 1.9 < seen.deadline.target_at < now + 9.0
    assert now + 8.8 < seen.deadline.limit_at < now + 9.2


async def test_a_port_that_is_taken(ends: TcpEnds) -> None:
    settings = ends.server._settings
    other = TcpServer(
        TcpServerSettings(f"127.0.0.1:{ends.server.port}", settings.cert, settings.key),
        handler=ends.server._handler,
        gate=Gate(tokens=TokenCheck(tuple), classes=ends.server._gate._classes, default_class="bulk"),
        clock=MonotonicClock(),
        load=DaemonLoad,
    )
    with pytest.raises(HeadwayError, match=f"can't listen on 127.0.0.1:{ends.server.port}"):
        await other.start()
    await other.close()


async def test_its_state_in_one_line(ends: TcpEnds) -> None:
    assert repr(ends.server) == f"<TcpServer port={ends.server.port} calls=0 draining=False>"
    ends.server.drain()
    assert repr(ends.server) == f"<TcpServer port={ends.server.port} calls=0 draining=True>"


async def test_a_drain_waits_until_every_proxy_has_heard_of_it(ends: TcpEnds) -> None:
    tunnels = [ends.tunnel() for _ in range(2)]
    for tunnel in tunnels:
        await tunnel.wait_settled()
        for _ in range(3):  # by then its control call has begun
            await answer(tunnel.open(UNARY), b"x")
    ends.server.drain()
    assert not all(tunnel.load.draining for tunnel in tunnels)
    async with asyncio.timeout(5):
        await ends.server.wait_told()
    assert all(tunnel.load.draining for tunnel in tunnels)


async def test_a_drain_without_proxies_waits_for_nothing(ends: TcpEnds) -> None:
    ends.server.drain()
    async with asyncio.timeout(0.05):
        await ends.server.wait_told()


async def test_a_proxy_that_goes_away_is_not_waited_for(ends: TcpEnds) -> None:
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    await answer(tunnel.open(UNARY), b"x")
    ends.server.drain()
    await tunnel.close()
    async with asyncio.timeout(5):
        await ends.server.wait_told()


async def test_it_knows_what_an_exchange_with_each_proxy_takes(ends: TcpEnds) -> None:
    assert ends.server.round_trips() == {}
    tunnel = ends.tunnel()
    await tunnel.wait_settled()
    async with asyncio.timeout(5):
        while not ends.server.round_trips():
            await answer(tunnel.open(UNARY), b"x")
    [(peer, round_trip)] = ends.server.round_trips().items()
    assert peer == ends.heads[-1].tunnel
    assert 0 <= round_trip.smoothed_s < 1
    ends.server.drain()  # to be told when its control call has ended
    await tunnel.close()
    async with asyncio.timeout(5):
        await ends.server.wait_told()
    assert ends.server.round_trips() == {}
