"""Statistics of repeated measurements, and when there are enough of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, pstdev

from policies.profile_file import Point

PRECISION = 0.02
"""Of the median: half the width of its 95 % interval at which a point is known well enough."""
LEAST = 10
"""Samples, before the interval is believed: with fewer, it is the whole range."""

_Z_95 = 1.96


def is_known(samples: Sequence[float]) -> bool:
    """Whether the median's 95 % interval is within `PRECISION` of it.

    The interval is that between order statistics, which assumes nothing about the distribution: ranks n/2 ± 0.98 √n
    (W. J. Conover, Practical Nonparametric Statistics, section 3.2).
    """
    count = len(samples)
    if count < LEAST:
        return False
    ordered = sorted(samples)
    reach = _Z_95 / 2 * math.sqrt(count)
    low, high = ordered[max(0, math.floor(count / 2 - reach))], ordered[min(count - 1, math.ceil(count / 2 + reach))]
    return (high - low) / 2 <= PRECISION * median(ordered)


def point(kind: str, at: int, samples: Sequence[float]) -> Point:
    """The statistics of one setting's seconds."""
    ordered = sorted(samples)
    return Point(
        kind=kind,
        at=at,
        median_s=median(ordered),
        mean_s=fmean(ordered),
        deviation_s=pstdev(ordered),
        # The nearest rank: with few samples the largest of them.
        p95_s=ordered[math.ceil(0.95 * len(ordered)) - 1],
        samples=len(ordered),
    )
