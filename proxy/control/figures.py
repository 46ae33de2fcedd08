"""The figures of a status as people read them, for `headway ctl status` and `headway top`."""

from __future__ import annotations

import math

from proxy.pb.headway.v1 import control_pb2 as pb

NOTHING = "–"
"""Where there is no figure."""


def counted(status: pb.ClassStatus) -> int:
    """The calls that a share on time is of: all that ended but for those that the client cancelled."""
    return status.on_time + status.late + status.failed + status.refused


def percent(part: float, whole: float) -> str:
    """A share with one decimal, a dash of nothing. Never rounded up to 100."""
    return NOTHING if whole <= 0 else f"{math.floor(1000 * part / whole) / 10:.1f} %"


def milliseconds(seconds: float) -> str:
    """With three digits or more, so that it fits what is short as well as what is long."""
    value = seconds * 1e3
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"  # noqa: PLR2004 -- digits


def megabits(bytes_s: float) -> str:
    """A rate."""
    value = bytes_s * 8 / 1e6
    return f"{value:.2f} Mbit/s" if value < 100 else f"{value:.0f} Mbit/s"  # noqa: PLR2004


def size(number: float) -> str:
    """Bytes, in decimal units from 10 000 on."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 10 * factor or (unit != "kB" and number >= factor):
            return f"{number / factor:.1f} {unit}"
    return f"{number:.0f} B"


def span(seconds: float) -> str:
    """A deadline or a window: seconds, or milliseconds where that is shorter."""
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1e3:g} ms"
