"""Numbers as they are shown."""

from __future__ import annotations

import math

DASH = "–"


def milliseconds(value: float) -> str:
    """With decimals while they tell something; a dash for NaN."""
    if math.isnan(value):
        return DASH
    size = abs(value)
    digits = 2 if size < 1 else 1 if size < 1000 else 0  # noqa: PLR2004 -- milliseconds: a second has no decimals
    return f"{value:.{digits}f}"


def percent(part: int, whole: int) -> str:
    """A share with one decimal, a dash of nothing. Never rounds up to 100."""
    return DASH if whole == 0 else f"{math.floor(1000 * part / whole) / 10:.1f} %"


def times(least_ms: float, greatest_ms: float) -> str:
    """One duration, or from which to which."""
    if milliseconds(least_ms) == milliseconds(greatest_ms):
        return milliseconds(least_ms)
    return f"{milliseconds(least_ms)}…{milliseconds(greatest_ms)}"
