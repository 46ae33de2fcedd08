"""The control call of a tunnel, on both ends: clocks compared, load carried back (`proto/headway/v1/tunnel.proto`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from proxy.clock import Clock
from proxy.errors import Code
from proxy.pb.headway.v1 import tunnel_pb2
from proxy.tasks import spawn
from proxy.tunnel.clock_sync import ClockSync, RoundTrip
from proxy.tunnel.exchange import CallStatus, IncomingCall, OutgoingCall
from proxy.tunnel.gate import PeerClock
from proxy.tunnel.tunnel import DaemonLoad

logger = logging.getLogger(__name__)

CONTROL_PATH = "/headway.v1.Tunnel/Control"
REPORT_INTERVAL_S = 1.0
"""Between two reports of a proxy."""
FIRST_REPORTS = 3
"""Reports that follow each other ten times as fast, so that the clocks are compared before much depends on it."""


class ControlCall:
    """The proxy's end. Runs until `stop`, but reports no more once the daemon has ended the call."""

    def __init__(self, call: OutgoingCall, *, daemon: str, clock: Clock, on_load: Callable[[DaemonLoad], None]) -> None:
        self._call = call
        self._daemon = daemon
        self._clock = clock
        self._on_load = on_load
        self._clocks = ClockSync()
        self._stopped = asyncio.Event()
        self._ended = False

    def __repr__(self) -> str:
        return f"<ControlCall to {self._daemon} {self._clocks!r}>"

    @property
    def clocks(self) -> ClockSync:
        """What was measured so far."""
        return self._clocks

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    async def run(self) -> None:
        """Report to the daemon and take in its answers."""
        reader = spawn(self._read(), name=f"reports of {self._daemon}")
        sequence = 0
        try:
            while not self._stopped.is_set():
                if self._ended:
                    await self._stopped.wait()
                    return
                sequence += 1
                await self._call.send(self._report(sequence))
                interval_s = REPORT_INTERVAL_S if sequence > FIRST_REPORTS else REPORT_INTERVAL_S / 10
                try:
                    async with asyncio.timeout(interval_s):
                        await self._stopped.wait()
                except TimeoutError:
                    continue
        finally:
            reader.cancel()
            self._call.cancel()

    def _report(self, sequence: int) -> bytes:
        report = tunnel_pb2.ProxyReport(sequence=sequence, sent_us=_microseconds(self._clock.now()))
        best = self._clocks.best
        if best is not None:
            report.offset.offset_us = _microseconds(best.offset_s)
            report.offset.round_trip_us = _microseconds(best.round_trip_s)
        current = self._clocks.round_trip
        if current is not None:
            report.round_trip.smoothed_us = _microseconds(current.smoothed_s)
            report.round_trip.deviation_us = _microseconds(current.deviation_s)
        return report.SerializeToString()

    async def _read(self) -> None:
        while True:
            event = await self._call.receive()
            if isinstance(event, CallStatus):
                self._note_end(event)
                return
            if not isinstance(event, bytes):
                continue
            report = tunnel_pb2.DaemonReport.FromString(event)
            self._clocks.add_sample(
                sent_at=report.proxy_sent_us / 1e6,
                received_at=report.received_us / 1e6,
                answered_at=report.sent_us / 1e6,
                now=self._clock.now(),
            )
            self._on_load(DaemonLoad(report.load.calls, draining=report.load.draining, serving=report.load.serving))

    def _note_end(self, status: CallStatus) -> None:
        self._ended = True
        if status.code == Code.UNAUTHENTICATED:
            logger.error("Daemon %s does not let us in: %s", self._daemon, status.message)
        elif status.code not in (Code.UNAVAILABLE, Code.CANCELLED):
            logger.info("Daemon %s keeps no control call: %s", self._daemon, status.message)


async def serve_control(call: IncomingCall, *, peer: PeerClock, clock: Clock, load: Callable[[], DaemonLoad]) -> None:
    """The daemon's end: answer each report at once."""
    while (message := await call.receive()) is not None:
        received_at = clock.now()
        report = tunnel_pb2.ProxyReport.FromString(message)
        if report.HasField("offset"):
            peer.measured(report.offset.offset_us / 1e6)
        else:
            peer.arrived(sent_at=report.sent_us / 1e6, received_at=received_at)
        if report.HasField("round_trip"):
            peer.round_trip = RoundTrip(report.round_trip.smoothed_us / 1e6, report.round_trip.deviation_us / 1e6)
        now_load = load()
        answer = tunnel_pb2.DaemonReport(
            sequence=report.sequence,
            proxy_sent_us=report.sent_us,
            received_us=_microseconds(received_at),
            sent_us=_microseconds(clock.now()),
            load=tunnel_pb2.DaemonLoad(calls=now_load.calls, draining=now_load.draining, serving=now_load.serving),
        )
        await call.send(answer.SerializeToString())
    await call.finish(CallStatus(Code.OK))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
