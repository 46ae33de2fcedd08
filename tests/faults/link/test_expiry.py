"""A gRPC deadline that passes, or a client that gives up, at each station of the way (faults 11, 12 and 13).

What grpc does at the proxy when a deadline passes is to cancel the call's handler, as for a client's cancel: so a
`cancel` here stands for both. The daemon keeps the deadline by itself as well; there nobody cancels.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.errors import Code
from proxy.quic.calls import StreamOutgoingCall
from proxy.tunnel.exchange import CallHead
from proxy.tunnel.headers import encode_request
from tests.faults.link.chain import LINK, ROUND_TRIP_S, SLOW, STREAM, UNARY, Chain, Sleeper, end_of
from tests.unit.daemon.spans import RecordedTracing
from tests.unit.quic.endpoints import joined

SMALL = b"request"
LARGE = bytes(200_000)
"""Two seconds on the slow link."""


async def test_of_a_call_given_up_in_the_proxy_s_queue_no_byte_is_sent(certs: Path) -> None:
    async with joined(certs, link=LINK) as ends:
        bulk, _ = ends.open()
        ends.write(ends.client, bulk, LARGE, end=True)
        await asyncio.sleep(0.6 * ROUND_TRIP_S)  # the window is full until the first acknowledgement
        stream_id = ends.client.connection.open_stream()
        call = StreamOutgoingCall(ends.client, stream_id, address="localhost:4433", max_message_bytes=1 << 20)
        call.start(encode_request(CallHead(UNARY), authority="localhost", token=b"", priority=0, now=0.0))
        await call.send(SMALL, last=True)
        await asyncio.sleep(0.3 * ROUND_TRIP_S)
        call.cancel()
        await asyncio.sleep(3)
        heard = ends.heard.get(stream_id)
        assert heard is None or (bytes(heard.data), heard.resets) == (b"", [0x10C])
        assert (len(ends.heard[bulk].data), ends.heard[bulk].ended) == (200_000, True)


async def test_of_a_call_past_its_deadline_the_tunnel_hears_nothing(certs: Path) -> None:
    backend = Sleeper()
    async with Chain(certs, backend) as chain:
        await asyncio.sleep(2)
        before = chain.tunnel.network.uplink.statistics().sent
        status = await end_of(await chain.start(SMALL, limit_s=-0.001))
        assert status.code == Code.DEADLINE_EXCEEDED
        assert ("x-headway-dropped-reason", "rejected-deadline-expired") in status.metadata
        assert chain.tunnel.network.uplink.statistics().sent == before
        assert chain.backend.calls == []


async def test_in_the_middle_of_an_upload_the_daemon_ends_the_call(certs: Path) -> None:
    async with Chain(certs, Sleeper(), uplink=SLOW) as chain:
        started_at, sent_bytes = chain.now, chain.tunnel.network.uplink.statistics().sent_bytes
        call = await chain.start(LARGE, limit_s=0.5)
        assert (await end_of(call)).code == Code.DEADLINE_EXCEEDED
        assert chain.now - started_at <= 0.5 + ROUND_TRIP_S
        assert all(made.requests == [] for made in chain.backend.calls)
        await chain.nothing_is_left()
        # The rest of the upload stays where it is.
        assert chain.tunnel.network.uplink.statistics().sent_bytes - sent_bytes < 120_000


async def test_a_cancel_in_the_middle_of_an_upload_stops_it(certs: Path) -> None:
    async with Chain(certs, Sleeper(), uplink=SLOW) as chain:
        sent_bytes = chain.tunnel.network.uplink.statistics().sent_bytes
        call = await chain.start(LARGE)
        await asyncio.sleep(0.5)
        call.cancel()
        await asyncio.sleep(0.5)
        await chain.nothing_is_left()
        assert chain.tunnel.network.uplink.statistics().sent_bytes - sent_bytes < 120_000
        assert all(made.requests == [] for made in chain.backend.calls)


@pytest.mark.parametrize("path", [UNARY, STREAM])
async def test_while_it_executes_the_daemon_ends_the_call_at_the_deadline(certs: Path, path: str) -> None:
    backend = Sleeper()
    async with Chain(certs, backend) as chain:
        started_at = chain.now
        call = await chain.start(SMALL, path=path, limit_s=0.3)
        assert (await end_of(call)).code == Code.DEADLINE_EXCEEDED
        assert backend.cancelled_at - started_at == pytest.approx(0.3, abs=0.005)
        assert chain.now - started_at <= 0.3 + ROUND_TRIP_S
        await chain.nothing_is_left()


async def test_the_daemon_s_span_tells_of_the_deadline(certs: Path) -> None:
    daemon = RecordedTracing()
    async with Chain(certs, Sleeper(), daemon_tracing=daemon) as chain:
        await end_of(await chain.start(SMALL, limit_s=0.3))
    [span] = daemon.spans
    assert span.status is not None
    assert span.status.code == Code.DEADLINE_EXCEEDED
    assert span.events[0] == "drop"


@pytest.mark.parametrize("path", [UNARY, STREAM])
async def test_while_it_executes_a_cancel_reaches_the_backend_within_a_round_trip(certs: Path, path: str) -> None:
    backend = Sleeper()
    async with Chain(certs, backend) as chain:
        call = await chain.start(SMALL, path=path)
        await asyncio.wait_for(backend.started.wait(), 1)
        cancelled_at = chain.now
        call.cancel()
        await asyncio.wait_for(backend.cancelled.wait(), 1)
        assert backend.cancelled_at - cancelled_at <= ROUND_TRIP_S
        await chain.nothing_is_left()


async def test_in_the_middle_of_an_answer_the_daemon_sends_the_rest_no_more(certs: Path) -> None:
    backend = Sleeper(answer=LARGE)
    async with Chain(certs, backend, downlink=SLOW) as chain:
        sent_bytes = chain.tunnel.network.downlink.statistics().sent_bytes
        call = await chain.start(SMALL, path=STREAM)
        await asyncio.wait_for(backend.started.wait(), 1)
        await asyncio.sleep(0.5)
        call.cancel()
        await asyncio.wait_for(backend.cancelled.wait(), 1)
        await asyncio.sleep(0.5)
        await chain.nothing_is_left()
        assert 20_000 < chain.tunnel.network.downlink.statistics().sent_bytes - sent_bytes < 150_000


async def test_in_the_middle_of_an_answer_the_deadline_ends_the_call(certs: Path) -> None:
    backend = Sleeper(answer=LARGE)
    async with Chain(certs, backend, downlink=SLOW) as chain:
        started_at = chain.now
        call = await chain.start(SMALL, path=STREAM, limit_s=0.5)
        await asyncio.wait_for(backend.cancelled.wait(), 1)
        assert backend.cancelled_at - started_at == pytest.approx(0.5, abs=0.005)
        assert (await end_of(call)).code == Code.DEADLINE_EXCEEDED
        await chain.nothing_is_left()
