from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from proxy.errors import Code
from proxy.pool import KEPT_BYTES, DaemonPool, pick
from proxy.testing.calls import Answer, answering, exchange, failing, hanging
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall
from proxy.tunnel.tunnel import DaemonLoad, Tunnel
from tests.unit.daemon_tunnels import CONNECTING, LOST, READY, MemoryTunnel, away

HEAD = CallHead("/pkg.Service/Method", metadata=(("k", "v"),))


async def ask(tunnels: Sequence[Tunnel], *messages: bytes) -> Answer:
    return await asyncio.wait_for(exchange(DaemonPool(tunnels), HEAD, *messages), 5)


class TestPick:
    @pytest.mark.parametrize(
        ("loads", "expected"),
        [
            ([(3, 0), (1, 0), (2, 0)], "b"),
            ([(0, 0), (0, 0), (0, 0)], "a"),
            ([(0, 9), (5, 0), (6, 0)], "b"),
            ([(7, 1), (0, 6), (6, 5)], "b"),
        ],
        ids=["as reported", "the first of equals", "our own count too", "the larger of both"],
    )
    def test_the_least_load(self, loads: list[tuple[int, int]], expected: str) -> None:
        tunnels = [
            MemoryTunnel(name, load=DaemonLoad(calls=reported), calls=ours)
            for name, (reported, ours) in zip("abc", loads, strict=True)
        ]
        picked = pick(tunnels)
        assert picked is not None
        assert picked.name == expected

    def test_daemons_that_drain_or_do_not_serve_come_last(self) -> None:
        draining = MemoryTunnel("draining", load=DaemonLoad(draining=True))
        headless = MemoryTunnel("headless", load=DaemonLoad(serving=False))
        busy = MemoryTunnel("busy", load=DaemonLoad(calls=1000))
        assert pick([draining, headless, busy]) is busy
        assert pick([draining, headless]) is headless
        assert pick([draining]) is draining

    def test_a_daemon_that_is_silent_comes_after_one_that_is_busy(self) -> None:
        silent, busy = MemoryTunnel("silent", silent=True), MemoryTunnel("busy", load=DaemonLoad(calls=1000))
        headless = MemoryTunnel("headless", load=DaemonLoad(serving=False))
        assert pick([silent, busy, headless]) is busy
        assert pick([silent, headless]) is silent

    def test_only_ready_ones_and_none_to_be_avoided(self) -> None:
        a, b, c = MemoryTunnel("a", state=CONNECTING), MemoryTunnel("b", state=LOST), MemoryTunnel("c")
        assert pick([a, b, c]) is c
        assert pick([a, b, c], avoid=frozenset({"c"})) is None
        assert pick([]) is None

    def test_of_equals_the_turn_decides(self) -> None:
        tunnels = [MemoryTunnel(name) for name in "abc"]
        tunnels.insert(1, MemoryTunnel("lost", state=LOST))
        picked = [pick(tunnels, turn=turn) for turn in range(7)]
        assert "".join(tunnel.name for tunnel in picked if tunnel is not None) == "abcabca"

    def test_no_turn_makes_up_for_load(self) -> None:
        tunnels = [MemoryTunnel(name, calls=calls) for name, calls in (("a", 1), ("b", 0), ("c", 1), ("d", 0))]
        picked = [pick(tunnels, turn=turn) for turn in range(4)]
        assert "".join(tunnel.name for tunnel in picked if tunnel is not None) == "bbdd"


class TestOneDaemon:
    async def test_a_call_passes(self) -> None:
        status = CallStatus(Code.OK, "fine", (("t", "1"),))
        tunnel = MemoryTunnel("a", answering(b"one", b"two", initial=(("h", "1"),), status=status))
        assert await ask([tunnel], b"request", b"more") == Answer(status, (b"one", b"two"), (("h", "1"),))
        [call] = tunnel.opened
        assert call.head is HEAD
        assert (call.requests, call.half_closed) == ([b"request", b"more"], True)

    async def test_cancelling(self) -> None:
        tunnel = MemoryTunnel("a", hanging())
        call = DaemonPool([tunnel]).open(HEAD)
        await call.send(b"request")
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait_for(tunnel.opened[0].served.wait(), 1)
        assert tunnel.opened[0].cancelled


class TestBalance:
    async def test_daemons_that_have_nothing_to_do_take_turns(self) -> None:
        tunnels = [MemoryTunnel(name) for name in "abc"]
        pool = DaemonPool(tunnels)
        for _ in range(9):
            await exchange(pool, HEAD, b"request")
        assert [len(tunnel.opened) for tunnel in tunnels] == [3, 3, 3]


class TestConnecting:
    async def test_a_call_waits_for_a_tunnel_that_comes_up(self) -> None:
        tunnel = MemoryTunnel("a", state=CONNECTING)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask([tunnel], b"request"))
            await asyncio.wait_for(tunnel.awaited.wait(), 1)
            assert tunnel.opened == []
            tunnel.settle(READY)
        assert answer.result().messages == (b"a",)
        assert tunnel.opened[0].requests == [b"request"]

    async def test_the_first_of_several_that_is_up_takes_it(self) -> None:
        tunnels = [MemoryTunnel(name, state=CONNECTING) for name in "abc"]
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask(tunnels, b"request"))
            for tunnel in tunnels:
                await asyncio.wait_for(tunnel.awaited.wait(), 1)
            tunnels[0].settle(LOST)
            await asyncio.sleep(0)
            tunnels[2].settle(READY)
        assert answer.result().messages == (b"c",)

    async def test_one_that_comes_up_between_opening_and_sending_is_taken_at_once(self) -> None:
        a, b = MemoryTunnel("a", state=CONNECTING), MemoryTunnel("b", state=CONNECTING)
        call = DaemonPool([a, b]).open(HEAD)
        b.settle(READY)
        async with asyncio.timeout(0.1):
            await call.send(b"request", last=True)
            assert await call.receive() == b"b"

    async def test_a_ready_one_is_taken_at_once(self) -> None:
        connecting, ready = MemoryTunnel("a", state=CONNECTING), MemoryTunnel("b")
        assert (await ask([connecting, ready])).messages == (b"b",)

    async def test_when_all_have_failed_the_call_fails_at_once_and_names_them(self) -> None:
        tunnels = [MemoryTunnel("gpu-1:4433", state=CONNECTING), MemoryTunnel("gpu-2:4433", state=LOST)]
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask(tunnels, b"request"))
            await asyncio.wait_for(tunnels[0].awaited.wait(), 1)
            tunnels[0].settle(LOST)
        assert answer.result().status == CallStatus(
            Code.UNAVAILABLE,
            "daemon gpu-1:4433 is unreachable: no answer; daemon gpu-2:4433 is unreachable: no answer",
        )

    async def test_lost_tunnels_are_not_waited_for(self) -> None:
        async with asyncio.timeout(0.1):
            answer = await ask([MemoryTunnel("a", state=LOST)], b"request")
        assert answer.status == CallStatus(Code.UNAVAILABLE, "daemon a is unreachable: no answer")

    def test_patience_ends_after_a_second(self) -> None:
        async def answered() -> tuple[Answer, float]:
            answer = await ask([MemoryTunnel("a", state=CONNECTING)], b"request")
            return answer, asyncio.get_running_loop().time()

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            answer, answered_at = runner.run(answered())
        assert answered_at == pytest.approx(1.0)
        assert answer.status == CallStatus(Code.UNAVAILABLE, "daemon a is unreachable: no answer")

    async def test_no_daemons(self) -> None:
        assert (await ask([])).status == CallStatus(Code.UNAVAILABLE, "no daemon is configured")

    async def test_a_call_that_is_cancelled_while_it_waits_is_never_made(self) -> None:
        tunnel = MemoryTunnel("a", state=CONNECTING)
        call = DaemonPool([tunnel]).open(HEAD)
        async with asyncio.TaskGroup() as group:
            status = group.create_task(call.receive())
            await asyncio.sleep(0)
            call.cancel()
            tunnel.settle(READY)
        await call.send(b"dropped", last=True)
        assert status.result() == CallStatus(Code.CANCELLED, "cancelled by the caller")
        assert tunnel.opened == []

    async def test_two_who_wait_make_one_call(self) -> None:
        tunnel = MemoryTunnel("a", state=CONNECTING)
        call = DaemonPool([tunnel]).open(HEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(call.send(b"request", last=True))
            answer = group.create_task(call.receive())
            await asyncio.sleep(0)
            tunnel.settle(READY)
        assert answer.result() == b"a"
        assert len(tunnel.opened) == 1


class TestFailover:
    async def test_what_has_not_begun_goes_to_another(self) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", calls=1)
        assert (await ask([a, b], b"one", b"two")).messages == (b"b",)
        assert b.opened[0].requests == [b"one", b"two"]
        assert b.opened[0].half_closed
        assert b.opened[0].head is HEAD

    async def test_a_request_without_messages_too(self) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", calls=1)
        assert (await ask([a, b])).messages == (b"b",)
        assert (b.opened[0].requests, b.opened[0].half_closed) == ([], True)

    async def test_each_daemon_is_tried_once_and_the_last_one_s_status_stays(self) -> None:
        tunnels = [MemoryTunnel(name, away(f"{name} drains"), calls=index) for index, name in enumerate("abc")]
        answer = await ask(tunnels, b"request")
        assert answer.status == CallStatus(Code.UNAVAILABLE, "c drains", retryable=True)
        assert [len(tunnel.opened) for tunnel in tunnels] == [1, 1, 1]

    async def test_a_daemon_that_is_away_is_not_tried(self) -> None:
        a, b, c = MemoryTunnel("a", away()), MemoryTunnel("b", state=LOST), MemoryTunnel("c", calls=1)
        assert (await ask([a, b, c], b"request")).messages == (b"c",)

    @pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.INTERNAL, Code.RESOURCE_EXHAUSTED, Code.CANCELLED])
    async def test_what_may_have_begun_is_never_repeated(self, code: Code) -> None:
        a, b = MemoryTunnel("a", failing(code, "broke off")), MemoryTunnel("b", calls=1)
        assert (await ask([a, b], b"request")).status == CallStatus(code, "broke off")
        assert b.opened == []

    @pytest.mark.parametrize("begin", ["headers", "message"])
    async def test_nor_is_what_was_answered(self, begin: str) -> None:
        async def handler(call: IncomingCall) -> None:
            if begin == "headers":
                await call.send_initial_metadata(())
            else:
                await call.send(b"first")
            await call.finish(CallStatus(Code.UNAVAILABLE, "away", retryable=True))

        a, b = MemoryTunnel("a", handler), MemoryTunnel("b", calls=1)
        assert (await ask([a, b], b"request")).status.code == Code.UNAVAILABLE
        assert b.opened == []

    @pytest.mark.parametrize(("size", "repeated"), [(KEPT_BYTES, True), (KEPT_BYTES + 1, False)])
    async def test_a_call_that_has_sent_more_than_is_kept_stays(self, size: int, repeated: bool) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", calls=1)
        answer = await ask([a, b], b"x", bytes(size - 1))
        assert answer.status.ok is repeated
        assert len(b.opened) == repeated

    async def test_a_cancelled_call_is_not_repeated(self) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", calls=1)
        call = DaemonPool([a, b]).open(HEAD)
        call.cancel()
        status = await asyncio.wait_for(call.receive(), 1)
        assert isinstance(status, CallStatus)
        assert b.opened == []

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
    async def test_messages_keep_their_order_while_they_are_repeated(self, turns: int) -> None:
        """The client goes on sending while the second daemon, which has little room, gets what the first one lost."""

        async def lose_all(call: IncomingCall) -> None:
            for _ in range(10):
                await call.receive()
            await call.finish(CallStatus(Code.UNAVAILABLE, "away", retryable=True))

        received: list[bytes] = []

        async def gather(call: IncomingCall) -> None:
            while (message := await call.receive()) is not None:
                received.append(message)
                await asyncio.sleep(0)
            await call.finish(CallStatus(Code.OK))

        a, b = MemoryTunnel("a", lose_all), MemoryTunnel("b", gather, calls=1, capacity=1)
        call = DaemonPool([a, b]).open(HEAD)
        messages = [bytes([index]) for index in range(40)]

        async def send_all() -> None:
            for message in messages:
                await call.send(message)
                for _ in range(turns):
                    await asyncio.sleep(0)
            await call.close_sending()

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(send_all())
            assert await call.receive() == CallStatus(Code.OK)
        assert received == messages

    @pytest.mark.parametrize("repeated", [True, False])
    async def test_the_half_close_comes_last(self, repeated: bool) -> None:
        """It was among what the first daemon lost, or it comes while the rest is repeated."""
        read = asyncio.Event()

        async def slow(call: IncomingCall) -> None:
            await read.wait()
            await answering(b"fine")(call)

        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", slow, calls=1, capacity=1)
        call = DaemonPool([a, b]).open(HEAD)
        for index in range(5):
            await call.send(bytes([index]), last=repeated and index == 4)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            answer = group.create_task(call.receive())
            await b.was_opened.wait()
            if not repeated:
                group.create_task(call.close_sending())
            await asyncio.sleep(0)
            read.set()
            assert await answer == b"fine"
        assert b.opened[0].requests == [bytes([index]) for index in range(5)]
        assert b.opened[0].half_closed

    async def test_a_daemon_that_answers_while_messages_are_repeated_is_read(self) -> None:
        """An echo with little room would wait for its reader, and the repeating for the echo, for ever."""
        go_on = asyncio.Event()

        async def lose_all(call: IncomingCall) -> None:
            await go_on.wait()
            await call.finish(CallStatus(Code.UNAVAILABLE, "away", retryable=True))

        async def echo(call: IncomingCall) -> None:
            while (message := await call.receive()) is not None:
                await call.send(message)
            await call.finish(CallStatus(Code.OK))

        a, b = MemoryTunnel("a", lose_all), MemoryTunnel("b", echo, calls=1, capacity=1)
        messages = tuple(bytes([index]) for index in range(10))
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask([a, b], *messages))
            await asyncio.sleep(0)
            go_on.set()
        assert answer.result().messages == messages

    async def test_cancelling_while_messages_are_repeated(self) -> None:
        a, b = MemoryTunnel("a", away()), MemoryTunnel("b", hanging(), calls=1, capacity=1)
        call = DaemonPool([a, b]).open(HEAD)
        for index in range(5):
            await call.send(bytes([index]))
        async with asyncio.TaskGroup() as group:
            status = group.create_task(call.receive())
            await asyncio.wait_for(b.was_opened.wait(), 1)
            call.cancel()
        assert status.result() == CallStatus(Code.CANCELLED, "cancelled by the caller")
        assert b.opened[0].cancelled


def test_what_it_says_of_itself() -> None:
    pool = DaemonPool([MemoryTunnel("a:1"), MemoryTunnel("b:2", state=LOST)])
    assert repr(pool) == "<DaemonPool a:1 READY, b:2 LOST>"
    assert [tunnel.name for tunnel in pool.tunnels] == ["a:1", "b:2"]
