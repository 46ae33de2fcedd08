"""`headway-stages`, the trailing field in which the daemon tells the proxy when a call passed its stations.

    RECEIVED;ASKED;DECIDED;SENT;BEGUN;ANSWERED

Microseconds: the first on the daemon's monotonic clock, the others since the first, empty for a station that the call
has not passed. Some thirty bytes. It goes to callers that named a class (`headway-class`), which only proxies do, and
a proxy keeps it to itself.
"""

from __future__ import annotations

from proxy.tunnel.exchange import CallTimes, FarTimes

STAGES_KEY = "headway-stages"
_FIELDS = 6
_LONGEST = 128
"""Six numbers are shorter by far."""


def encode_times(times: CallTimes, *, now: float) -> bytes:
    """What the daemon has noted of a call whose status it writes `now`."""
    received_at = times.received_at or now
    base = round(received_at * 1e6)
    answered_at = times.answered_at or now
    stations = (times.asked_at, times.decided_at, times.sent_at, min(times.begun_at, answered_at), answered_at)
    since = (b"%d" % max(round(at * 1e6) - base, 0) if at else b"" for at in stations)
    return b"%d;%b" % (base, b";".join(since))


def decode_times(value: bytes) -> FarTimes | None:
    """Read the field; None for what is none."""
    parts = value.split(b";") if len(value) <= _LONGEST else []
    if len(parts) != _FIELDS or not parts[0] or not all(part.isdigit() for part in parts if part):
        return None
    received_us = int(parts[0])
    asked, decided, sent, begun, answered = ((received_us + int(part)) / 1e6 if part else None for part in parts[1:])
    received_at = received_us / 1e6
    return FarTimes(received_at, asked, decided, sent, begun, received_at if answered is None else answered)
