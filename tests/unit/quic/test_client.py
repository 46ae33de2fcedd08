"""The proxy's end in virtual time: connecting, what calls are told meanwhile, and losing the connection."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.scheduling.base import StreamOrder
from policies.scheduling.round_robin import RoundRobin
from policies.traffic import Deadline
from proxy.commands.certs import make_certs
from proxy.errors import Code
from proxy.quic.client import QuicTunnel
from proxy.testing.calls import answering, exchange, hanging
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import ADDRESS, HOST, PORT, TOKEN, MemoryTunnel
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata
from proxy.tunnel.tunnel import DaemonLoad, TunnelState

HEAD = CallHead("/pkg.Service/Method", traffic_class="standard")
LINK = LinkSettings(delay_s=0.01)


def now() -> float:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.clock.now()


class Highest(random.Random):
    """Draws the upper bound, so that a wait is as long as it may be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Dialled(MemoryTunnel):
    """Notes when the proxy tries to connect."""

    def connect(self, **settings: object) -> QuicTunnel:
        self.attempts: list[float] = []
        open_client_port = self.network.open_client_port

        async def noting(address: str, **callbacks: object) -> object:
            self.attempts.append(round(now(), 6))
            return await open_client_port(address, **callbacks)  # type: ignore[arg-type]

        self.network.open_client_port = noting  # type: ignore[method-assign, assignment]
        return super().connect(**settings)

    def start_daemon(self) -> None:
        """Not yet."""

    def really_start_daemon(self) -> None:
        super().start_daemon()


async def test_a_call_there_and_back(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"one", b"two"), uplink=LINK, downlink=LINK) as tunnel:
        assert now() == pytest.approx(0.02)  # one round trip for the handshake
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        assert (answer.messages, answer.status) == ((b"one", b"two"), CallStatus(Code.OK))
        assert now() == pytest.approx(0.04)
        assert (tunnel.proxy.state, tunnel.proxy.name) == (TunnelState.READY, "localhost:4433")


async def test_nobody_listens(certs: Path) -> None:
    async with Dialled(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        assert tunnel.proxy.state is TunnelState.LOST
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        text = "daemon localhost:4433 is unreachable: Connection refused"
        assert answer.status == CallStatus(Code.UNAVAILABLE, text, retryable=True)
        assert tunnel.proxy.reason == text
        tunnel.really_start_daemon()


async def test_nobody_answers(certs: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Dialled(certs, handler=answering(), refuses=False, client={"handshake_timeout_s": 5.0}) as tunnel:
        assert now() == pytest.approx(5.0)
        assert tunnel.proxy.reason == "daemon localhost:4433 is unreachable: no answer within 5 s"
        await asyncio.sleep(30)
        assert [record.getMessage() for record in caplog.records if record.name == "proxy.quic.client"] == [
            "Daemon localhost:4433 can't be reached: no answer within 5 s"
        ]
        tunnel.really_start_daemon()


async def test_before_the_first_attempt_is_over_calls_are_told_so(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        second = tunnel.connect()
        assert second.state is TunnelState.CONNECTING
        answer = await exchange(second, HEAD, b"request")
        text = "daemon localhost:4433 is unreachable: not connected yet"
        assert answer.status == CallStatus(Code.UNAVAILABLE, text, retryable=True)
        await second.close()


async def test_attempts_are_further_and_further_apart_up_to_a_second(certs: Path) -> None:
    async with Dialled(certs, handler=answering(), rng=Highest()) as tunnel:
        await asyncio.sleep(5)
        assert tunnel.attempts == [0.0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5]
        tunnel.really_start_daemon()
        await asyncio.sleep(1)
        assert tunnel.proxy.state is TunnelState.READY
        tunnel.kill_daemon()
        tunnel.attempts.clear()
        lost_at = now()
        await asyncio.sleep(3)  # a report, a second later at most, finds nobody there
        first = tunnel.attempts[0]
        assert first - lost_at < 1.2
        assert [round(at - first, 6) for at in tunnel.attempts] == [0.0, 0.2, 0.6, 1.4]
        tunnel.really_start_daemon()


async def test_attempts_are_spread_by_chance(certs: Path) -> None:
    async with Dialled(certs, handler=answering(), seed=1) as tunnel:
        await asyncio.sleep(20)
        gaps = [after - before for before, after in zip(tunnel.attempts, tunnel.attempts[1:], strict=False)]
        assert max(gaps[4:]) <= 1.0
        assert min(gaps[4:]) < 0.2
        assert 0.4 < sum(gaps[4:]) / len(gaps[4:]) < 0.6
        tunnel.really_start_daemon()


async def test_attempts_go_on_for_years(certs: Path) -> None:
    settings = {"backoff_base_s": 86400.0, "backoff_max_s": 86400.0}
    async with Dialled(certs, handler=answering(), client=settings, rng=Highest()) as tunnel:
        await asyncio.sleep(200 * 86400)
        assert len(tunnel.attempts) == 200
        tunnel.really_start_daemon()


async def test_a_killed_daemon_fails_its_calls_within_a_second_and_is_found_again(
    certs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(10)
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await asyncio.sleep(0.5)
        killed_at = now()
        tunnel.kill_daemon()
        status = await call.receive()
        assert now() - killed_at < 1.1
        assert status == CallStatus(Code.UNAVAILABLE, "daemon localhost:4433: Connection refused")
        assert "Tunnel to localhost:4433 is down: Connection refused" in caplog.messages
        await asyncio.sleep(10)
        tunnel.handler = answering(b"back")
        back_at = now()
        tunnel.start_daemon()
        while (answer := await exchange(tunnel.proxy, HEAD, b"request")).status.code != Code.OK:
            assert "is unreachable: Connection refused" in answer.status.message
            await asyncio.sleep(0.05)
        assert now() - back_at < 1.1
        assert answer.messages == (b"back",)


async def test_a_daemon_that_was_restarted_says_so_at_once(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK, refuses=False) as tunnel:
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await asyncio.sleep(10)
        tunnel.kill_daemon()
        tunnel.start_daemon()
        restarted_at = now()
        status = await call.receive()
        assert status == CallStatus(Code.UNAVAILABLE, "daemon localhost:4433: the daemon was restarted")
        assert now() - restarted_at < 1.1
        tunnel.handler = answering(b"new")
        await asyncio.sleep(0.5)
        assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"new",)


async def test_a_daemon_that_was_restarted_within_the_handshake_is_noticed(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"x"), uplink=LINK, downlink=LINK) as tunnel:
        tunnel.kill_daemon()  # our handshake is complete, its end is not
        tunnel.start_daemon()
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        assert answer.status == CallStatus(Code.UNAVAILABLE, "daemon localhost:4433: no answer for 5 s")
        assert now() < 7.0
        await asyncio.sleep(1)
        assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"x",)


async def test_a_refusal_is_not_believed_while_nothing_is_awaited(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"still there"), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(0.9)  # between two reports
        [client] = tunnel.network.clients()
        tunnel.network.port(client).refuse()
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        assert answer.messages == (b"still there",)


async def test_a_link_that_is_silent_for_seconds_is_lost_and_comes_back(certs: Path) -> None:
    lossy = LinkSettings(delay_s=0.01, loss=1.0)
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK) as tunnel:
        call = tunnel.proxy.open(HEAD)
        await call.send(b"request", last=True)
        await asyncio.sleep(1)
        silent_at = now()
        tunnel.network.uplink.settings = tunnel.network.downlink.settings = lossy
        status = await call.receive()
        assert status == CallStatus(Code.UNAVAILABLE, "daemon localhost:4433: no answer for 5 s")
        assert 5.0 <= now() - silent_at < 7.0
        text = "daemon localhost:4433 is unreachable: no answer for 5 s"
        assert (await exchange(tunnel.proxy, HEAD, b"")).status == CallStatus(Code.UNAVAILABLE, text, retryable=True)
        await asyncio.sleep(60)
        tunnel.network.uplink.settings = tunnel.network.downlink.settings = LINK
        tunnel.handler = answering(b"again")
        await asyncio.sleep(6)
        assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"again",)


async def test_a_peer_that_had_no_reason_to_say_anything_is_not_silent(certs: Path) -> None:
    token = [b"wrong"]
    far = LinkSettings(delay_s=0.4)
    async with MemoryTunnel(
        certs, handler=answering(b"x"), uplink=far, downlink=far, client={"token": lambda: token[0]}
    ) as tunnel:
        await asyncio.sleep(20)  # the daemon has ended the control call, so there are no reports
        token[0] = TOKEN
        for _ in range(10):
            await asyncio.sleep(7.3)
            assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"x",)


async def test_a_second_without_a_packet_harms_no_call_but_daemons_that_answer_are_preferred(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"late"), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        tunnel.network.uplink.settings = LinkSettings(loss=1.0)
        call = asyncio.get_running_loop().create_task(exchange(tunnel.proxy, HEAD, b"request"))
        await asyncio.sleep(0.01)
        silent = [tunnel.proxy.silent]
        await asyncio.sleep(1)
        silent.append(tunnel.proxy.silent)
        tunnel.network.uplink.settings = LINK
        sent_again_at = now()
        assert (await call).messages == (b"late",)
        assert now() - sent_again_at < 1.0
        assert [*silent, tunnel.proxy.silent] == [False, True, False]


async def test_a_draining_daemon_is_given_no_new_calls(certs: Path) -> None:
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
        await asyncio.sleep(0.1)
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        text = "daemon localhost:4433 is draining"
        assert answer.status == CallStatus(Code.UNAVAILABLE, text, retryable=True)
        release.set()
        assert await under_way.receive() == InitialMetadata()
        assert await under_way.receive() == b"finished"


async def test_what_the_daemon_reports_is_known(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        assert tunnel.proxy.load == DaemonLoad(calls=0, draining=False, serving=True)
        tunnel.load = DaemonLoad(calls=7, draining=True, serving=False)
        await asyncio.sleep(1.1)
        assert tunnel.proxy.load == DaemonLoad(calls=7, draining=True, serving=False)


async def test_calls_under_way_are_counted_without_the_tunnels_own(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        calls = [tunnel.proxy.open(HEAD) for _ in range(3)]
        counts = [tunnel.proxy.calls]
        calls[0].cancel()
        counts.append(tunnel.proxy.calls)
        assert counts == [3, 2]


async def test_calls_opened_together_have_streams_of_their_own(certs: Path) -> None:
    async def echo(call: IncomingCall) -> None:
        message = await call.receive()
        assert message is not None
        await call.send(message)
        await call.finish(CallStatus(Code.OK))

    unary = CallHead("/grpc.health.v1.Health/Check", traffic_class="standard", unary=True)
    async with MemoryTunnel(certs, handler=echo, uplink=LINK, downlink=LINK) as tunnel:
        calls = [tunnel.proxy.open(unary) for _ in range(20)]  # their headers wait for their messages
        for number, call in reversed(list(enumerate(calls))):
            await call.send(b"%d" % number, last=True)
        for number, call in enumerate(calls):
            assert [await call.receive() for _ in range(3)] == [
                InitialMetadata(),
                b"%d" % number,
                CallStatus(Code.OK),
            ]


async def test_the_discipline_can_be_switched_and_stays_after_reconnecting(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"x"), uplink=LINK, downlink=LINK) as tunnel:
        with pytest.raises(ValueError, match="unknown scheduler 'fastest'"):
            tunnel.proxy.use_scheduler("fastest")
        await asyncio.sleep(1)
        names = ["EarliestDeadlineFirst" in repr(tunnel.proxy)]
        tunnel.proxy.use_scheduler("rr")
        names.append("RoundRobin" in repr(tunnel.proxy))
        tunnel.kill_daemon()
        tunnel.start_daemon()
        await asyncio.sleep(3)
        names.append("RoundRobin" in repr(tunnel.proxy))
        assert names == [True, True, True]
        assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"x",)


async def test_it_learns_how_long_each_class_s_answers_take(certs: Path) -> None:
    async def handler(call: IncomingCall) -> None:
        if call.head.path == "/early":
            await call.send(b"before the request is over")
        while await call.receive() is not None:
            pass
        await asyncio.sleep(0.5)
        await call.send(b"x")
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        early = tunnel.proxy.open(CallHead("/early", traffic_class="bulk"))
        await early.send(b"request")
        assert await early.receive() == InitialMetadata()
        assert await early.receive() == b"before the request is over"
        await early.close_sending()
        times = tunnel.proxy.answer_times
        assert times.estimate_s("bulk") == 0.0
        for _ in range(3):
            await exchange(tunnel.proxy, HEAD, bytes(30_000))
        assert times.estimate_s("standard") == pytest.approx(0.5, abs=0.01)
        assert [times.estimate_s(name) for name in ("bulk", "realtime")] == [0.0, 0.0]


async def test_the_scheduler_hears_what_a_request_s_answer_will_take(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(b"x"), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        tunnel.proxy.answer_times.answered("standard", took_s=0.75, rtt_s=0.25)
        orders: list[StreamOrder] = []

        class Hears(RoundRobin):
            def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
                orders.append(order)
                super().add(order, unsent_bytes=unsent_bytes, now=now)

        endpoint = tunnel.proxy._endpoint
        assert endpoint is not None
        endpoint.connection.use_scheduler(Hears(), now=now())
        await exchange(tunnel.proxy, HEAD, b"request")
        assert {order.answer_s for order in orders} == {0.5}


async def test_statistics_tell_what_waits_to_go_up(certs: Path) -> None:
    slow = LinkSettings(delay_s=0.01, rate_bytes_s=100_000)
    async with MemoryTunnel(certs, handler=answering(b"x"), uplink=slow, downlink=LINK, scheduler="rr") as tunnel:
        await asyncio.sleep(1)
        call = tunnel.proxy.open(HEAD)
        await call.send(bytes(150_000), last=True)
        await asyncio.sleep(0.1)
        statistics = tunnel.proxy.statistics()
        assert statistics is not None
        assert (statistics.scheduler, statistics.streams_ready) == ("rr", 1)
        assert 100_000 < statistics.pending_bytes < 150_000
        assert statistics.path.rtt_s > 0.02
        call.cancel()


async def test_closing_tells_the_daemon(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=hanging(), uplink=LINK, downlink=LINK) as tunnel:
        await asyncio.sleep(1)
        assert "tunnels=1" in repr(tunnel.daemon)
        await tunnel.proxy.close()
        await asyncio.sleep(1)
        assert repr(tunnel.daemon) == "<QuicServer 4433 tunnels=0 calls=0 draining=False>"


async def test_another_authority_is_named_as_the_reason(certs: Path, tmp_path: Path) -> None:
    make_certs(tmp_path, now=datetime.now(UTC))
    async with MemoryTunnel(
        certs, handler=answering(), uplink=LINK, downlink=LINK, client={"ca": tmp_path / "ca.pem"}
    ) as tunnel:
        assert tunnel.proxy.state is TunnelState.LOST
        assert tunnel.proxy.reason == ("daemon localhost:4433 is unreachable: unable to get local issuer certificate")
        await asyncio.sleep(1)


async def test_a_certificate_for_another_name_is_named_as_the_reason(certs: Path) -> None:
    async with MemoryTunnel(
        certs, handler=answering(), uplink=LINK, downlink=LINK, client={"server_name": "elsewhere"}
    ) as tunnel:
        assert "hostname 'elsewhere' doesn't match" in tunnel.proxy.reason


async def test_a_missing_file_is_named_and_found_later(certs: Path, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    async with MemoryTunnel(certs, handler=answering(b"x"), client={"ca": ca}) as tunnel:
        assert str(ca) in tunnel.proxy.reason
        ca.write_bytes((certs / "ca.pem").read_bytes())
        await asyncio.sleep(2)
        assert (await exchange(tunnel.proxy, HEAD, b"request")).messages == (b"x",)


async def test_a_wrong_token_is_logged_and_answered(certs: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryTunnel(certs, handler=answering(b"secret"), client={"token": lambda: b"wrong"}) as tunnel:
        answer = await exchange(tunnel.proxy, HEAD, b"request")
        assert answer.status == CallStatus(Code.UNAUTHENTICATED, "the headway-token header is missing or wrong")
        await asyncio.sleep(5)
        errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert errors == ["Daemon localhost:4433 does not let us in: the headway-token header is missing or wrong"]


async def test_the_path_is_measured(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering(), uplink=LINK, downlink=LINK) as tunnel:
        await exchange(tunnel.proxy, HEAD, b"request")
        statistics = tunnel.proxy.path_statistics()
        assert statistics is not None
        assert statistics.min_rtt_s == pytest.approx(0.02, abs=0.001)


async def test_there_is_no_path_before_there_is_a_connection(certs: Path) -> None:
    async with MemoryTunnel(certs, handler=answering()) as tunnel:
        second = tunnel.connect()
        assert second.path_statistics() is None
        assert second.calls == 0
        await second.close()


async def test_the_deadline_that_the_daemon_sees_is_on_its_own_clock(certs: Path) -> None:
    seen: list[tuple[Deadline, float]] = []

    async def handler(call: IncomingCall) -> None:
        seen.append((call.head.deadline, call.head.accepted_at))
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(certs, handler=handler, uplink=LINK, downlink=LINK, server_clock_offset_s=1000.0) as tunnel:
        await asyncio.sleep(1)
        at = now()
        deadline = Deadline(at + 0.5, at + 0.8)
        await exchange(tunnel.proxy, CallHead("/a.B/C", traffic_class="standard", deadline=deadline), b"")
        [(found, accepted_at)] = seen
        assert accepted_at == pytest.approx(1000 + at + 0.01)
        assert found.target_at == pytest.approx(1000 + at + 0.5, abs=1e-4)
        assert found.limit_at == pytest.approx(1000 + at + 0.8, abs=1e-4)


def test_where_it_is() -> None:
    assert (HOST, PORT, ADDRESS) == ("localhost", 4433, "localhost:4433")
