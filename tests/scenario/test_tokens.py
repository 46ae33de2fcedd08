"""Token streams on a slow link that others fill: each message by a deadline of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.scheduling.registry import SCHEDULERS
from policies.traffic import Deadline, TrafficClass
from proxy.errors import Code
from proxy.testing.calls import exchange
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import MemoryTunnel
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata
from proxy.tunnel.tunnel import DaemonLoad

CLASSES = {
    "quick": TrafficClass("quick", 1.0, token_deadline_s=0.35, priority=0, level="high", weight=2.0),
    "standard": TrafficClass("standard", 1.0, token_deadline_s=0.6, priority=1),
    "bulk": TrafficClass("bulk", 20.0, priority=2),
}
FAST = LinkSettings(delay_s=0.01)
SLOW = LinkSettings(delay_s=0.01, rate_bytes_s=100_000, queue_bytes=8000)
"""800 kbit/s with a queue of 80 ms."""
TOKENS = 30
TOKEN_EVERY_S = 0.1
BULK_ANSWERS = 60
BULK_BYTES = 8000
"""Together 480 kB, 4.8 s of the link: longer than the tokens take. A round of all of them is 0.7 s."""


def now() -> float:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.clock.now()


@dataclass(frozen=True)
class Tokens:
    """One token stream as both ends saw it."""

    began_at: float
    handed_over: list[float]
    arrived: list[float]

    def slack_s(self, traffic_class: TrafficClass) -> list[float]:
        """What was left of each message's deadline when it arrived; negative for a miss."""
        due = [self.began_at + traffic_class.deadline_s]
        due += [at + traffic_class.token_deadline_s for at in self.handed_over[:-1]]
        return [due_at - at for due_at, at in zip(due, self.arrived, strict=True)]


async def stream(tunnel: MemoryTunnel, traffic_class: str, handed_over: list[float]) -> Tokens:
    began_at = now()
    call = tunnel.proxy.open(CallHead(f"/tokens/{traffic_class}", traffic_class=traffic_class))
    await call.send(b"prompt", last=True)
    arrived: list[float] = []
    while not isinstance(event := await call.receive(), CallStatus):
        if not isinstance(event, InitialMetadata):
            assert event == b"token %d" % len(arrived)
            arrived.append(now())
    assert event == CallStatus(Code.OK)
    return Tokens(began_at, handed_over, arrived)


async def under_load(certs: Path, scheduler: str, downlink: LinkSettings = SLOW) -> dict[str, Tokens]:
    """Two token streams beside a flood of bulk answers."""
    handed_over: dict[str, list[float]] = {"/tokens/quick": [], "/tokens/standard": []}

    async def handler(call: IncomingCall) -> None:
        while await call.receive() is not None:
            pass
        if call.head.traffic_class == "bulk":
            await call.send(bytes(BULK_BYTES))
        else:
            for number in range(TOKENS):
                handed_over[call.head.path].append(now())
                await call.send(b"token %d" % number)
                await asyncio.sleep(TOKEN_EVERY_S)
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(
        certs, handler=handler, uplink=FAST, downlink=downlink, scheduler=scheduler, classes=CLASSES
    ) as tunnel:
        await asyncio.sleep(1)
        head = CallHead("/bulk", traffic_class="bulk")
        async with asyncio.TaskGroup() as group:
            bulk = [group.create_task(exchange(tunnel.proxy, head, b"all of it")) for _ in range(BULK_ANSWERS)]
            await asyncio.sleep(0.2)
            tokens = {
                name: group.create_task(stream(tunnel, name, handed_over[f"/tokens/{name}"]))
                for name in ("quick", "standard")
            }
        assert {call.result().status.code for call in bulk} == {Code.OK}
        return {name: task.result() for name, task in tokens.items()}


def missed(found: dict[str, Tokens]) -> dict[str, int]:
    return {name: sum(slack_s < 0 for slack_s in found[name].slack_s(CLASSES[name])) for name in found}


async def test_by_their_deadlines_every_token_is_on_time(certs: Path) -> None:
    assert missed(await under_load(certs, "edf")) == {"quick": 0, "standard": 0}


async def test_in_turn_with_everybody_most_are_late(certs: Path) -> None:
    late = missed(await under_load(certs, "rr"))
    assert late["quick"] > TOKENS // 2
    assert late["standard"] > TOKENS // 2


async def test_lost_tokens_are_sent_again_by_their_own_deadlines(certs: Path) -> None:
    lossy = LinkSettings(delay_s=0.01, rate_bytes_s=100_000, queue_bytes=8000, loss=0.02)
    late = missed(await under_load(certs, "edf", lossy))
    # One that is lost waits for a round trip through the link's queue, and those behind it on its stream as well.
    assert late["quick"] <= 3
    assert late["standard"] == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
async def test_the_control_call_is_never_kept_waiting(certs: Path, scheduler: str) -> None:
    async def handler(call: IncomingCall) -> None:
        while await call.receive() is not None:
            pass
        await call.send(bytes(10_000 if call.head.path == "/down" else 1))
        await call.finish(CallStatus(Code.OK))

    async with MemoryTunnel(
        certs, handler=handler, uplink=SLOW, downlink=SLOW, scheduler=scheduler, classes=CLASSES
    ) as tunnel:
        await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                path, size = ("/down", 1) if number % 2 else ("/up", 10_000)
                head = CallHead(path, traffic_class="bulk", deadline=Deadline(now() + 20.0))
                group.create_task(exchange(tunnel.proxy, head, bytes(size)))
            await asyncio.sleep(1.5)
            tunnel.load = DaemonLoad(calls=99)
            # The next report is at most a second away; then the queues of both ways, 80 ms each, are all there is.
            await asyncio.sleep(1.25)
            assert tunnel.proxy.load.calls == 99
