from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.control_call import ControlCall, serve_control
from proxy.errors import Code
from proxy.pb.headway.v1 import tunnel_pb2
from proxy.tasks import spawn
from proxy.testing.calls import MemoryCarrier, failing
from proxy.testing.clock import ManualClock
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.clock_sync import RoundTrip
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, InitialMetadata
from proxy.tunnel.gate import PeerClock
from proxy.tunnel.tunnel import DaemonLoad

HEAD = CallHead("/headway.v1.Tunnel/Control")


class Ends:
    """Both ends of a control call, whose clocks stand at 100 s and 5100.25 s."""

    def __init__(self) -> None:
        self.proxy_clock = ManualClock(now=100.0)
        self.daemon_clock = ManualClock(now=5100.25)
        self.peer = PeerClock()
        self.load = DaemonLoad(calls=3, draining=False, serving=True)
        self.carrier = MemoryCarrier(self._serve)
        self.call = self.carrier.open(HEAD)
        self.loads: asyncio.Queue[DaemonLoad] = asyncio.Queue()
        self.control = ControlCall(self.call, daemon="gpu:4433", clock=self.proxy_clock, on_load=self.loads.put_nowait)

    async def _serve(self, call: IncomingCall) -> None:
        await serve_control(call, peer=self.peer, clock=self.daemon_clock, load=lambda: self.load)


async def test_clocks_are_compared_and_load_comes_back() -> None:
    ends = Ends()
    async with asyncio.TaskGroup() as group:
        group.create_task(ends.control.run())
        assert await asyncio.wait_for(ends.loads.get(), 1) == DaemonLoad(calls=3, draining=False, serving=True)
        # The daemon had no measurement yet, only a bound; the proxy has one from the first answer.
        assert ends.peer.offset_s == pytest.approx(5000.25)
        assert repr(ends.peer).endswith("measured=False>")
        best = ends.control.clocks.best
        assert best is not None
        assert best.offset_s == pytest.approx(5000.25)
        assert best.round_trip_s == pytest.approx(0.0)
        ends.load = DaemonLoad(calls=0, draining=True, serving=False)
        assert await asyncio.wait_for(ends.loads.get(), 1) == DaemonLoad(calls=0, draining=True, serving=False)
        assert repr(ends.peer) == "<PeerClock offset_s=5000.25 measured=True>"
        ends.control.stop()
    assert ends.call.cancelled


async def test_the_round_trip_counts_without_the_daemon_s_own_time() -> None:
    """0.2 s to the daemon, 0.5 s in it, 0.2 s back."""
    ends = Ends()

    async def slow_daemon(call: IncomingCall) -> None:
        message = await call.receive()
        assert message is not None
        report = tunnel_pb2.ProxyReport.FromString(message)
        assert report.sent_us == 100_000_000
        answer = tunnel_pb2.DaemonReport(
            sequence=report.sequence, proxy_sent_us=report.sent_us, received_us=150_200_000, sent_us=150_700_000
        )
        ends.proxy_clock.advance(0.9)
        await call.send(answer.SerializeToString())
        await asyncio.Event().wait()

    loads: asyncio.Queue[DaemonLoad] = asyncio.Queue()
    control = ControlCall(
        MemoryCarrier(slow_daemon).open(HEAD), daemon="gpu:4433", clock=ends.proxy_clock, on_load=loads.put_nowait
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(control.run())
        assert await asyncio.wait_for(loads.get(), 1) == DaemonLoad(calls=0, draining=False, serving=False)
        control.stop()
    best = control.clocks.best
    assert best is not None
    assert best.offset_s == pytest.approx(50.0)
    assert best.round_trip_s == pytest.approx(0.4)
    assert control.clocks.round_trip is not None
    assert control.clocks.round_trip.smoothed_s == pytest.approx(0.4)


async def test_the_daemon_learns_what_an_exchange_takes() -> None:
    ends = Ends()
    assert ends.peer.round_trip is None
    report = tunnel_pb2.ProxyReport(sequence=2, round_trip=tunnel_pb2.RoundTrip(smoothed_us=250_000, deviation_us=3000))
    await ends.call.send(report.SerializeToString())
    assert isinstance(await asyncio.wait_for(ends.call.receive(), 1), InitialMetadata | bytes)
    await ends.call.close_sending()
    while not isinstance(await asyncio.wait_for(ends.call.receive(), 1), CallStatus):
        pass
    assert ends.peer.round_trip == RoundTrip(0.25, 0.003)


async def test_reports_are_numbered_and_carry_what_is_known() -> None:
    ends = Ends()
    async with asyncio.TaskGroup() as group:
        group.create_task(ends.control.run())
        for _ in range(2):
            await asyncio.wait_for(ends.loads.get(), 1)
        ends.control.stop()
    first, second, *_ = [tunnel_pb2.ProxyReport.FromString(message) for message in ends.call.requests]
    assert (first.sequence, first.sent_us, first.HasField("offset")) == (1, 100_000_000, False)
    assert (second.sequence, second.offset.offset_us, second.offset.round_trip_us) == (2, 5_000_250_000, 0)
    assert (first.HasField("round_trip"), second.HasField("round_trip")) == (False, True)


async def test_stopping_before_the_start_sends_nothing() -> None:
    ends = Ends()
    ends.control.stop()
    await asyncio.wait_for(ends.control.run(), 1)
    assert ends.call.requests == []
    assert ends.call.cancelled


async def test_cancelling_gives_the_call_up() -> None:
    ends = Ends()
    task = spawn(ends.control.run(), name="control")
    await asyncio.wait_for(ends.loads.get(), 1)
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    assert task.cancelled()
    assert ends.call.cancelled


async def test_a_daemon_ends_the_call_when_the_proxy_does() -> None:
    ends = Ends()
    await ends.call.close_sending()
    assert await asyncio.wait_for(ends.call.receive(), 1) == CallStatus(Code.OK)


@pytest.mark.parametrize(
    ("code", "level", "text"),
    [
        (Code.UNAUTHENTICATED, logging.ERROR, "Daemon gpu:4433 does not let us in: no"),
        (Code.UNIMPLEMENTED, logging.INFO, "Daemon gpu:4433 keeps no control call: no"),
        (Code.UNAVAILABLE, None, ""),
        (Code.CANCELLED, None, ""),
    ],
)
def test_a_daemon_that_keeps_no_control_call_is_left_in_peace(
    caplog: pytest.LogCaptureFixture, code: Code, level: int | None, text: str
) -> None:
    """`run` goes on, because its end means a lost connection, but no report is sent any more."""
    caplog.set_level(logging.INFO)

    async def an_hour() -> ControlCall:
        call = MemoryCarrier(failing(code, "no")).open(HEAD)
        control = ControlCall(call, daemon="gpu:4433", clock=ManualClock(now=100.0), on_load=lambda _: None)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(control.run())
            done, _ = await asyncio.wait({running}, timeout=3600)
            assert not done
            assert len(call.requests) == 1
            control.stop()
        return control

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        control = runner.run(an_hour())
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == ([(level, text)] if level else [])
    assert repr(control) == "<ControlCall to gpu:4433 <ClockSync samples=0 best=None>>"
