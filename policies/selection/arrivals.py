"""How fast requests of one route arrive, and of which classes: the daemon and the simulator measure with this."""

from __future__ import annotations

import math

from policies.selection.base import Arrivals

FAST_S = 1.0
"""Time constant of the fast rate: `policies.selection.base.Arrivals` has it for the last second or so."""
SLOW_S = 30.0
"""Time constant of the slow rate and of the class mix: the shipped stable workload holds a rate this long."""

LARGEST_EXPONENT = 50.0
"""Growing weights are scaled back past e to this power, far from where floats end (e to the 709th)."""


class ArrivalMeter:
    """Exponentially weighted counts over time.

    A rate is the count over its time constant, corrected for the time before the first request, which nothing is known
    of. Cost is constant for a request, and grows with the number of classes for `arrivals`.
    """

    __slots__ = ("_at", "_base_at", "_fast", "_fast_s", "_first_at", "_mix", "_mix_total", "_slow", "_slow_s")

    def __init__(self, *, fast_s: float = FAST_S, slow_s: float = SLOW_S) -> None:
        self._fast_s = fast_s
        self._slow_s = slow_s
        self._fast = 0.0
        self._slow = 0.0
        self._at = self._base_at = self._first_at = -math.inf
        self._mix: dict[str, float] = {}
        self._mix_total = 0.0

    def arrived(self, traffic_class: str, *, now: float) -> None:
        """Count a request. `now` never goes back."""
        if self._at == -math.inf:
            self._at = self._base_at = self._first_at = now
        since_s = now - self._at
        self._fast = self._fast * math.exp(-since_s / self._fast_s) + 1
        self._slow = self._slow * math.exp(-since_s / self._slow_s) + 1
        self._at = now
        exponent = (now - self._base_at) / self._slow_s
        if exponent > LARGEST_EXPONENT:
            self._scale_back(math.exp(-exponent))
            self._base_at = now
            exponent = 0.0
        weight = math.exp(exponent)
        self._mix[traffic_class] = self._mix.get(traffic_class, 0.0) + weight
        self._mix_total += weight

    def arrivals(self, *, now: float) -> Arrivals:
        """The rates and the mix now; zeros before the first request."""
        if self._at == -math.inf:
            return Arrivals(0.0, 0.0)
        fast_s, slow_s, since_s = self._fast_s, self._slow_s, now - self._at
        # In its first time constant the fast rate is no better known than from one of them.
        known_s = max(now - self._first_at, fast_s)
        fast = self._fast * math.exp(-since_s / fast_s) / (fast_s * -math.expm1(-known_s / fast_s))
        slow = self._slow * math.exp(-since_s / slow_s) / (slow_s * -math.expm1(-known_s / slow_s))
        total = self._mix_total
        return Arrivals(fast, slow, tuple([(name, weight / total) for name, weight in self._mix.items()]))

    def _scale_back(self, factor: float) -> None:
        self._mix = {name: weight * factor for name, weight in self._mix.items()}
        self._mix_total = sum(self._mix.values())
