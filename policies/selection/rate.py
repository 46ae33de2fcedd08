"""How fast requests arrive, for policies that go by it."""

from __future__ import annotations

from policies.selection.arrivals import ArrivalMeter
from policies.selection.base import Arrivals, Request


class ArrivalRate:
    """The arrival rates that come with requests; where nobody measures them, the policy's own measurement.

    Requests tried anew don't count again.
    """

    def __init__(self) -> None:
        self._meter = ArrivalMeter()

    def seen(self, request: Request, *, now: float) -> Arrivals:
        """The rates at this request, which counts."""
        if request.arrivals is not None:
            return request.arrivals
        if not request.attempt:
            self._meter.arrived(request.traffic_class, now=now)
        return self._meter.arrivals(now=now)
