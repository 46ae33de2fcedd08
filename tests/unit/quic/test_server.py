"""The daemon's end in virtual time: whom it lets in, what it does with datagrams of no connection, how it drains."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from policies.traffic import NO_DEADLINE, Deadline
from proxy.commands.certs import make_certs
from proxy.errors import Code
from proxy.quic.driver import Address, Datagram
from proxy.testing.calls import answering, exchange, hanging
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_port import MemoryPort
from proxy.testing.memory_tunnel import ADDRESS, HOST, PORT, TOKEN, MemoryTunnel
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata
from proxy.tunnel.tunnel import TunnelState

HEAD = CallHead("/pkg.Service/Method", traffic_class="standard")
LINK = LinkSettings(delay_s=0.01)
REFUSED = CallStatus(Code.UNAUTHENTICATED, "the headway-token header is missing or wrong")


class Stranger:
    """Somebody who sends datagrams to the daemon and keeps what comes back."""

    def __init__(self, port: MemoryPort, peer: Address) -> None:
        self.port = port
        self.peer = peer
        self.answers: list[bytes] = []

    @classmethod
    async def at(cls, tunnel: MemoryTunnel) -> Stranger:
        inbox: list[Datagram] = []
        port, peer = await tunnel.network.open_client_port(
            ADDRESS, on_datagrams=lambda datagrams, _: inbox.extend(datagrams), on_unreachable=lambda _: None
        )
        stranger = cls(port, peer)
        stranger._inbox = inbox
        return stranger

    _inbox: list[Datagram]

    async def ask(self, *datagrams: bytes) -> list[bytes]:
        """Send these; what has come back a while later."""
        self._inbox.clear()
        self.port.send([(data, self.peer) for data in datagrams])
        await asyncio.sleep(0.1)
        return [data for data, _ in self._inbox]


def long_header(version: int, *, first: int = 0xC0, size: int = 1200) -> bytes:
    """The beginning of a packet with a long header, filled up with zeros."""
    ids = bytes([8]) + b"destinat" + bytes([8]) + b"sourceid"
    return (bytes([first]) + version.to_bytes(4, "big") + ids).ljust(size, b"\0")


# Who is let in


@pytest.mark.parametrize("token", [b"", b"wrong", TOKEN + b"x", TOKEN[:-1]])
async def test_a_call_without_the_token_is_refused_before_it_is_served(certs: Path, token: bytes) -> None:
    served: list[str] = []

    async def handler(call: IncomingCall) -> None:
        served.append(call.head.path)
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=handler, client={"token": lambda: token}) as tunnel:
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        assert (answer.status, answer.initial, served) == (REFUSED, None, [])


async def test_several_tokens_are_good_at_once_and_change_without_a_restart(certs: Path) -> None:
    shown = [b"old"]
    async with MemoryTunnel(certs, handler=answering(b"in"), client={"token": lambda: shown[0]}) as tunnel:
        codes = []
        for tokens, token in (
            ((b"old",), b"old"),
            ((b"new", b"old"), b"old"),
            ((b"new", b"old"), b"new"),
            ((b"new",), b"old"),
            ((b"new",), b"new"),
        ):
            tunnel.tokens, shown[0] = tokens, token
            codes.append((await exchange(tunnel.proxy, HEAD, b"")).status.code)
        assert codes == [Code.OK, Code.OK, Code.OK, Code.UNAUTHENTICATED, Code.OK]


async def test_without_tokens_everybody_is_let_in(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"in"), client={"token": bytes}) as tunnel:
        tunnel.tokens = ()
        assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"in",)


async def test_a_token_never_stands_in_a_log(certs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with MemoryTunnel(certs, handler=answering(b"in"), client={"token": lambda: b"s3cr3t-guess"}) as tunnel:
        await exchange(tunnel.proxy, HEAD, b"")
    assert "Refused a call from 192.0.2.1:50000: the headway-token header is missing or wrong" in caplog.messages
    assert not any("s3cr3t-guess" in message or TOKEN.decode() in message for message in caplog.messages)


async def test_client_certificates_that_the_authority_signed_are_let_in(certs: Path) -> None:
    async with MemoryTunnel(
        certs,
        handler=answering(b"in"),
        client={"client_cert": certs / "proxy.pem", "client_key": certs / "proxy.key"},
        server={"client_ca": certs / "ca.pem"},
    ) as tunnel:
        assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"in",)


@pytest.mark.parametrize("shown", ["none", "of another authority"])
async def test_other_client_certificates_are_not(
    certs: Path, tmp_path: Path, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    served: list[str] = []

    async def handler(call: IncomingCall) -> None:
        served.append(call.head.path)
        await call.finish(CallStatus(Code.OK))

    make_certs(tmp_path, now=datetime.now(UTC))
    own = {"client_cert": tmp_path / "proxy.pem", "client_key": tmp_path / "proxy.key"}
    async with MemoryTunnel(
        certs,
        handler=handler,
        uplink=LINK,
        downlink=LINK,
        client={} if shown == "none" else own,
        server={"client_ca": certs / "ca.pem"},
    ) as tunnel:
        answer = await exchange(tunnel.proxy, HEAD, b"")
        assert answer.status.code == Code.UNAVAILABLE
        assert answer.status.message == "daemon localhost:4433: client certificate not accepted"
        assert served == []
        await asyncio.sleep(0.1)
        assert tunnel.proxy.state is TunnelState.LOST
    reasons = {"none": "it shows no certificate", "of another authority": "its certificate is not accepted"}
    assert any(
        message.startswith("Refused a tunnel from 192.0.2.1:50000: " + reasons[shown]) for message in caplog.messages
    )


# Datagrams of no connection


async def test_an_unknown_version_is_answered_with_the_known_ones(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering()) as tunnel:
        stranger = await Stranger.at(tunnel)
        [answer] = await stranger.ask(long_header(0x1A2A3A4A))
        header = pull_quic_header(Buffer(data=answer), host_cid_length=8)
        assert header.packet_type == QuicPacketType.VERSION_NEGOTIATION
        assert (header.destination_cid, header.source_cid) == (b"sourceid", b"destinat")
        assert header.supported_versions == [0x00000001, 0x6B3343CF]
        # RFC 9000 section 5.2.2: only what could have begun a connection is answered.
        assert await stranger.ask(long_header(0x1A2A3A4A, size=1199)) == []


async def test_garbage_is_passed_over(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"fine")) as tunnel:
        stranger = await Stranger.at(tunnel)
        rng = random.Random(1)
        garbage = [rng.randbytes(size) for size in range(1, 1400, 7)]
        long_garbage = [bytes([0xC0 | data[0] & 0x3F]) + data[1:] for data in garbage]
        truncated = [long_header(1)[:size] for size in range(30)]
        await stranger.ask(b"", *garbage, *long_garbage, *truncated)
        assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"fine",)


async def test_an_initial_packet_that_cannot_be_read_leaves_nothing_behind(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"fine")) as tunnel:
        await asyncio.sleep(1)
        stranger = await Stranger.at(tunnel)
        before = repr(tunnel.daemon)
        token_and_length = b"\0" + (0x4000 | 1150).to_bytes(2, "big")
        head = bytes([0xC3]) + (1).to_bytes(4, "big") + bytes([8]) + b"destinat" + bytes([8]) + b"sourceid"
        forged = (head + token_and_length).ljust(1200, b"\xaa")
        assert await stranger.ask(forged) == []
        await asyncio.sleep(120)
        assert repr(tunnel.daemon) == before
        assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"fine",)


async def test_an_address_that_never_answers_gets_three_times_what_it_sent_at_most(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(2.5)  # between two reports
        up, down = tunnel.network.uplink.statistics(), tunnel.network.downlink.statistics()
        second = tunnel.connect()
        await asyncio.sleep(0.001)
        tunnel.network.uplink.settings = LinkSettings(loss=1.0)
        came = tunnel.network.uplink.statistics().sent_bytes - up.sent_bytes
        await asyncio.sleep(3.0)
        went = tunnel.network.downlink.statistics().sent_bytes - down.sent_bytes
        assert came == 1200
        assert 1200 <= went <= 3 * 1200
        await second.close()


async def test_a_packet_of_a_forgotten_connection_is_answered_with_a_shorter_reset(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering()) as tunnel:
        stranger = await Stranger.at(tunnel)
        packet = b"\x40" + b"unknown!" + os.urandom(40)
        [answer] = await stranger.ask(packet)
        assert len(answer) < len(packet)
        assert answer[0] & 0xC0 == 0x40
        [again] = await stranger.ask(packet)
        assert answer[-16:] == again[-16:]
        assert answer[:-16] != again[:-16]
        assert await stranger.ask(packet[:42]) == []


async def test_resets_are_limited_to_a_hundred_a_second(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering()) as tunnel:
        stranger = await Stranger.at(tunnel)
        await asyncio.sleep(10)
        packets = [b"\x40" + number.to_bytes(8, "big") + bytes(40) for number in range(500)]
        counts = [len(await stranger.ask(*packets)), len(await stranger.ask(*packets))]
        await asyncio.sleep(1)
        counts.append(len(await stranger.ask(*packets)))
        assert counts == [100, 0, 100]


async def test_a_port_that_is_taken_is_an_error(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering()) as tunnel:
        first = tunnel.daemon
        with pytest.raises(OSError, match="in use"):
            tunnel.start_daemon()
        tunnel.daemon = first


# Serving


async def test_a_handler_that_fails_is_an_internal_error(certs: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(call: IncomingCall) -> None:
        raise ValueError("secret details")

    async with MemoryTunnel(certs, handler=handler) as tunnel:
        answer = await exchange(tunnel.proxy, HEAD, b"")
        assert answer.status == CallStatus(Code.INTERNAL, "internal error in the daemon")
    assert "Call /pkg.Service/Method failed" in caplog.messages


async def test_a_handler_that_forgets_the_status_is_an_internal_error(certs: Path) -> None:
    async def handler(call: IncomingCall) -> None:
        await call.send(b"and then?")

    async with MemoryTunnel(certs, handler=handler) as tunnel:
        answer = await exchange(tunnel.proxy, HEAD, b"")
        assert answer.messages == (b"and then?",)
        assert answer.status == CallStatus(Code.INTERNAL, "the daemon ended the call without a status")


class Watched:
    """A handler that waits and tells how it went."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, call: IncomingCall) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.mark.parametrize("how", ["cancel", "connection closed", "daemon closed"])
async def test_a_handler_is_cancelled_when_its_caller_goes_away(certs: Path, how: str) -> None:
    handler = Watched()
    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK) as tunnel:
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await handler.started.wait()
        if how == "cancel":
            call.cancel()
        elif how == "connection closed":
            await tunnel.proxy.close()
        else:
            await tunnel.daemon.close()
        async with asyncio.timeout(1):
            await handler.cancelled.wait()


async def test_a_proxy_that_falls_silent_is_given_up_with_its_calls(certs: Path) -> None:
    handler = Watched()
    async with MemoryTunnel(certs, handler=handler, server={"idle_timeout_s": 10.0}) as tunnel:
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await handler.started.wait()
        tunnel.network.uplink.settings = LinkSettings(loss=1.0)
        async with asyncio.timeout(12):
            await handler.cancelled.wait()
        await asyncio.sleep(1)
        assert "tunnels=0 calls=0" in repr(tunnel.daemon)


async def test_it_knows_its_calls(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(0.1)
        counts = [tunnel.daemon.calls]
        calls = [tunnel.proxy.open(HEAD) for _ in range(3)]
        for call in calls:
            await call.send(b"request", last=True)
        await asyncio.sleep(0.1)
        counts.append(tunnel.daemon.calls)
        assert counts == [1, 4]  # the control call is one
        [served] = tunnel.daemon.tunnels()
        assert served.calls == 3
        assert served.peer.rpartition(":")[2].isdigit()
        assert served.path.min_rtt_s == pytest.approx(0.02, abs=0.005)
        assert (tunnel.daemon.port, repr(tunnel.daemon)) == (
            4433,
            "<QuicServer 4433 tunnels=1 calls=4 draining=False>",
        )


async def test_the_discipline_can_be_switched(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"x")) as tunnel:
        with pytest.raises(ValueError, match="unknown scheduler 'fastest'"):
            tunnel.daemon.use_scheduler("fastest")
        tunnel.daemon.use_scheduler("rr")
        assert (await exchange(tunnel.proxy, HEAD, b"")).messages == (b"x",)


async def test_another_discipline_holds_for_tunnels_that_come_later_too(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"x"), uplink=LINK, downlink=LINK) as tunnel:
        tunnel.daemon.use_scheduler("rr")
        later = tunnel.connect()
        await later.wait_settled()
        assert [statistics.scheduler for statistics in tunnel.daemon.statistics()] == ["rr", "rr"]
        await later.close()


async def test_statistics_tell_what_waits_to_go_down(certs: Path) -> None:
    slow = LinkSettings(delay_s=0.01, rate_bytes_s=100_000)
    async with MemoryTunnel(certs, handler=answering(bytes(150_000)), uplink=LINK, downlink=slow) as tunnel:
        await asyncio.sleep(1)
        [idle] = tunnel.daemon.statistics()
        assert (idle.scheduler, idle.streams_ready, idle.pending_bytes) == ("edf", 0, 0)
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await asyncio.sleep(0.1)
        [busy] = tunnel.daemon.statistics()
        assert (busy.streams, busy.streams_ready) == (idle.streams + 1, 1)
        assert 100_000 < busy.pending_bytes < 150_000
        call.cancel()


# Draining


async def test_a_drain_lets_calls_finish_and_gives_new_ones_back(certs: Path) -> None:
    release = asyncio.Event()

    async def waiting(call: IncomingCall) -> None:
        await release.wait()
        await call.send(b"finished")
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=waiting, uplink=LINK, downlink=LINK) as tunnel:
        under_way = tunnel.proxy.open(HEAD)
        await under_way.send(b"request", last=True)
        await asyncio.sleep(0.1)
        tunnel.daemon.drain()
        crossing = tunnel.proxy.open(HEAD)  # the GOAWAY is on its way
        await crossing.send(b"request", last=True)
        status = await crossing.receive()
        assert status == CallStatus(
            Code.UNAVAILABLE, "daemon localhost:4433 reset the stream with HTTP/3 error 0x10b", retryable=True
        )
        release.set()
        assert [await under_way.receive() for _ in range(3)] == [
            InitialMetadata(),
            b"finished",
            CallStatus(Code.OK),
        ]
        assert repr(tunnel.daemon) == "<QuicServer 4433 tunnels=1 calls=1 draining=True>"


async def test_reports_go_on_while_it_drains(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        tunnel.daemon.drain()
        tunnel.load = tunnel.load.__class__(calls=3, draining=True)
        await asyncio.sleep(1.1)
        assert tunnel.proxy.load.draining


# Deadlines


class Deadlines:
    """A handler that keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[Deadline] = []

    async def __call__(self, call: IncomingCall) -> None:
        self.seen.append(call.head.deadline)
        await call.finish(CallStatus(Code.OK))


async def test_a_deadline_never_grows_on_the_way(certs: Path) -> None:
    handler = Deadlines()
    slow = LinkSettings(delay_s=0.3)
    async with MemoryTunnel(certs, handler=handler, uplink=slow, downlink=slow, server_clock_offset_s=-50.0) as tunnel:
        clocks = tunnel.network.client_clock, tunnel.network.server_clock
        true_at = 0.0
        for settle_s in (0.0, 0.35, 0.5, 1.0, 10.0):  # before, while and after the clocks are compared
            await asyncio.sleep(settle_s)
            at = clocks[0].now()
            deadline = Deadline(at + 1.0, at + 1.5)
            await exchange(tunnel.proxy, CallHead("/a.B/C", traffic_class="standard", deadline=deadline), b"")
            found = handler.seen[-1]
            true_at = at - 50.0
            assert found.target_at <= found.limit_at
            # Counted from its arrival, a limit seems later by the way here; nothing else may add to it.
            assert found.limit_at <= true_at + 1.5 + 0.3 + 1e-3
        assert handler.seen[-1].target_at == pytest.approx(true_at + 1.0, abs=2e-3)
        assert handler.seen[-1].limit_at == pytest.approx(true_at + 1.5, abs=2e-3)


async def test_a_queue_on_one_way_does_not_move_the_clocks(certs: Path) -> None:
    handler = Deadlines()
    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK, server_clock_offset_s=7.0) as tunnel:
        await asyncio.sleep(3)
        tunnel.network.uplink.settings = LinkSettings(delay_s=0.8)
        await asyncio.sleep(5)
        at = tunnel.network.client_clock.now()
        head = CallHead("/a.B/C", traffic_class="standard", deadline=Deadline(at + 2.0, at + 2.0))
        await exchange(tunnel.proxy, head, b"")
        assert handler.seen[-1].limit_at == pytest.approx(at + 7.0 + 2.0, abs=1e-3)


async def test_each_message_of_a_stream_has_a_deadline_from_when_the_client_sent_it(certs: Path) -> None:
    due: list[float] = []
    waits: list[float] = []

    async def handler(call: IncomingCall) -> None:
        while await call.receive() is not None:
            assert call.head.times is not None
            due.append(call.head.times.due_at)
            assert call.head.times.first_due_at == due[0]
            waits.append(tunnel.network.server_clock.now())
        await call.finish(CallStatus(Code.OK))

    thin = LinkSettings(delay_s=0.01, rate_bytes_s=50_000)
    async with MemoryTunnel(certs, handler=handler, uplink=thin, downlink=LINK, server_clock_offset_s=7.0) as tunnel:
        await asyncio.sleep(3)
        at = tunnel.network.client_clock.now()
        head = CallHead("/a.B/C", traffic_class="standard", deadline=Deadline(at + 2.0), accepted_at=at)
        call = tunnel.proxy.open(head)
        sent_at = []
        for pause_s in (0.5, 4.0):
            await asyncio.sleep(pause_s)
            sent_at.append(tunnel.network.client_clock.now())
            await call.send(bytes(50_000))
        await call.close_sending()
        assert (await call.receive()).__class__ is CallStatus
        assert due == pytest.approx([when + 7.0 + 2.0 for when in sent_at], abs=2e-3)
        # A second on the way, of which nothing would be known by the time of arrival.
        assert min(arrived - when - 7.0 for arrived, when in zip(waits, sent_at, strict=True)) > 0.9


async def test_the_only_message_of_a_unary_call_goes_by_the_call_s_deadline(certs: Path) -> None:
    due: list[float] = []

    async def handler(call: IncomingCall) -> None:
        await call.receive()
        assert call.head.times is not None
        due.append(call.head.times.due_at)
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(3)
        at = tunnel.network.client_clock.now()
        deadline = Deadline(at + 2.0)
        head = CallHead("/a.B/C", traffic_class="standard", deadline=deadline, accepted_at=at, unary=True)
        await exchange(tunnel.proxy, head, b"")
        assert due == [0.0]


async def test_a_call_without_a_deadline_gets_its_classes_and_no_limit(certs: Path) -> None:
    handler = Deadlines()
    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        await exchange(tunnel.proxy, CallHead("/a.B/C", traffic_class="bulk"), b"")
        [found] = handler.seen
        assert found.limit_at == NO_DEADLINE
        assert found.target_at == pytest.approx(1.02 + 0.01 + 7.0, abs=0.02)


def test_the_address_is_as_the_tunnel_says() -> None:
    assert f"{HOST}:{PORT}" == ADDRESS
