"""One connection at work in virtual time: when it sends, whom it tells what, how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.quic.endpoint import Endpoint, StreamUser
from proxy.testing.memory_link import LinkSettings
from tests.unit.quic.endpoints import Heard, joined


async def test_what_one_turn_writes_leaves_together(certs: Path) -> None:
    async with joined(certs) as ends:
        sent = ends.network.uplink.statistics().sent
        streams = [ends.open()[0] for _ in range(10)]
        for stream_id in streams:
            ends.write(ends.client, stream_id, b"x" * 20)
        assert ends.network.uplink.statistics().sent == sent
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ends.network.uplink.statistics().sent == sent + 1
        await asyncio.sleep(0.1)
        assert [bytes(ends.heard[stream_id].data) for stream_id in streams] == [b"x" * 20] * 10


async def test_the_batch_window_holds_requests_back_and_nothing_else(certs: Path) -> None:
    async with joined(certs, client_batch_window_s=0.05) as ends:
        sent = ends.network.uplink.statistics().sent
        first, second, third = (ends.open()[0] for _ in range(3))
        ends.client.connection.send_stream_data(first, b"one")
        ends.client.flush_soon(batch=True)
        await asyncio.sleep(0.04)
        assert ends.network.uplink.statistics().sent == sent
        ends.client.connection.send_stream_data(second, b"two")
        ends.client.flush_soon(batch=True)
        await asyncio.sleep(0.0101)
        assert ends.network.uplink.statistics().sent == sent + 1
        await asyncio.sleep(1.0)
        sent = ends.network.uplink.statistics().sent
        ends.write(ends.client, third, b"at once")
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        assert ends.network.uplink.statistics().sent == sent + 1


async def test_something_urgent_ends_the_batch_window(certs: Path) -> None:
    async with joined(certs, client_batch_window_s=0.05) as ends:
        sent = ends.network.uplink.statistics().sent
        first, second = (ends.open()[0] for _ in range(2))
        ends.client.connection.send_stream_data(first, b"may wait")
        ends.client.flush_soon(batch=True)
        ends.write(ends.client, second, b"may not")
        await asyncio.sleep(0.001)
        assert ends.network.uplink.statistics().sent == sent + 1


async def test_an_idle_connection_is_silent(certs: Path) -> None:
    async with joined(certs) as ends:
        await asyncio.sleep(5)
        counts = ends.network.uplink.statistics().sent, ends.network.downlink.statistics().sent
        await asyncio.sleep(30)
        assert (ends.network.uplink.statistics().sent, ends.network.downlink.statistics().sent) == counts


async def test_users_hear_what_happens_on_their_stream(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"request", end=True)
        await asyncio.sleep(0.1)
        heard = ends.heard[stream_id]
        assert (bytes(heard.data), heard.ended) == (b"request", True)
        ends.write(ends.server, stream_id, b"answer")
        await asyncio.sleep(0.1)
        ends.write(ends.server, stream_id, b"", end=True)
        await asyncio.sleep(0.1)
        assert (bytes(user.data), user.ended) == (b"answer", True)
        assert (ends.client.users, ends.server.users) == (1, 1)


async def test_giving_up_a_stream_is_heard_on_both_halves(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"request")
        await asyncio.sleep(0.1)
        ends.server.abort(stream_id, 0x10B)
        await asyncio.sleep(0.1)
        assert (user.resets, user.stops) == ([0x10B], [0x10B])


async def test_what_comes_for_a_call_that_is_over_is_passed_over(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, _ = ends.open()
        ends.write(ends.client, stream_id, b"request")
        await asyncio.sleep(0.1)
        ends.server.release(stream_id)
        ends.write(ends.client, stream_id, b"more")
        await asyncio.sleep(0.1)
        ends.write(ends.client, stream_id, b"", end=True)
        await asyncio.sleep(0.1)
        assert bytes(ends.heard[stream_id].data) == b"request"
        assert ends.server.users == 0


async def test_a_stream_that_is_reset_before_anything_came_on_it_leaves_nothing_behind(certs: Path) -> None:
    async with joined(certs) as ends:
        before = repr(ends.server)
        stream_id, _ = ends.open()
        ends.client.connection.reset_stream(stream_id, 0x10C)
        ends.client.flush_soon()
        await asyncio.sleep(1)
        assert repr(ends.server) == before


async def test_streams_that_the_other_end_may_not_open_are_passed_over(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id = ends.server.connection.open_stream()  # HTTP/3 has none from the server
        assert stream_id == 1
        ends.write(ends.server, stream_id, b"unasked")
        await asyncio.sleep(0.1)
        assert ends.client.users == 0
        assert ends.ends == []


async def test_there_is_word_of_room_to_the_streams_user(certs: Path) -> None:
    async with joined(certs, link=LinkSettings(delay_s=0.01, rate_bytes_s=1e6)) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, bytes(200_000))
        assert user.rooms == 0
        await asyncio.sleep(1)
        assert user.rooms == 1


async def test_everything_written_is_waited_for_until_it_has_arrived(certs: Path) -> None:
    link = LinkSettings(delay_s=0.01, rate_bytes_s=100_000)
    async with joined(certs, link=link) as ends:
        stream_id, user = ends.open()
        await ends.server.wait_delivered()
        ends.write(ends.client, stream_id, b"request")
        await asyncio.sleep(0.1)
        ends.write(ends.server, stream_id, bytes(100_000), end=True)
        await ends.server.wait_delivered()
        assert (len(user.data), user.ended) == (100_000, True)
        ends.write(ends.client, stream_id, bytes(100_000))
        waiting = asyncio.get_running_loop().create_task(ends.client.wait_delivered())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        ends.client.lose("gone")
        await waiting


async def test_the_peer_s_close_is_heard_as_soon_as_it_is_here(certs: Path) -> None:
    async with joined(certs, link=LinkSettings(delay_s=0.2)) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"request")
        await asyncio.sleep(1)
        ends.server.close(reason="enough")
        await asyncio.sleep(0.201)
        assert (user.lost, ends.ends) == (["enough"], [("client", "enough")])


async def test_closing_tells_the_peer_the_reason(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"request")
        await asyncio.sleep(0.1)
        ends.server.close(reason="enough")
        await asyncio.sleep(1)
        assert user.lost == ["enough"]
        assert ends.heard[stream_id].lost == ["enough"]
        assert sorted(ends.ends) == [("client", "enough"), ("server", "enough")]


async def test_a_connection_that_is_lost_tells_its_users_once_and_sends_nothing_more(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"never sent")
        ends.client.lose("gone")
        ends.client.lose("gone again")
        sent = ends.network.uplink.statistics().sent
        await asyncio.sleep(10)
        assert (user.lost, ends.ends[0]) == (["gone"], ("client", "gone"))
        assert ends.network.uplink.statistics().sent == sent


async def test_a_peer_that_breaks_the_rules_of_http3_ends_the_connection_with_the_reason(certs: Path) -> None:
    async with joined(certs) as ends:
        stream_id, user = ends.open()
        ends.write(ends.client, stream_id, b"request")
        second_control = ends.client.connection.get_next_available_stream_id(is_unidirectional=True)
        ends.write(ends.client, second_control, b"\x00\x04\x00")
        await asyncio.sleep(1)
        assert user.lost == ["Only one control stream is allowed"]


async def test_no_more_calls_once_it_closes(certs: Path) -> None:
    accepted: list[int] = []
    closing = asyncio.Event()

    def accept(endpoint: Endpoint, stream_id: int) -> StreamUser:
        accepted.append(stream_id)
        endpoint.close(reason="no")
        closing.set()
        return Heard()

    async with joined(certs, accept=accept) as ends:
        for _ in range(3):
            ends.write(ends.client, ends.open()[0], b"request")
        await closing.wait()
        await asyncio.sleep(1)
        assert accepted == [0]


async def test_repr_shows_users_and_connection(certs: Path) -> None:
    async with joined(certs) as ends:
        ends.open()
        assert repr(ends.client) == (
            "<Endpoint users=1 <ScheduledConnection client CONNECTED streams=7 <RoundRobin ready=0>>>"
        )


@pytest.mark.parametrize("loss", [0.0, 0.05])
async def test_it_needs_one_timer_whatever_is_lost(certs: Path, loss: float) -> None:
    link = LinkSettings(delay_s=0.01, loss=loss)
    async with joined(certs, link=link) as ends:
        streams = [ends.open()[0] for _ in range(50)]
        for stream_id in streams:
            ends.write(ends.client, stream_id, bytes(5000), end=True)
        await asyncio.sleep(10)
        assert all(ends.heard[stream_id].ended for stream_id in streams)
        # Its own timer at each end, the sleeping test, and asyncio's cancelled ones until it clears them up.
        live = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert len(live) <= 2
