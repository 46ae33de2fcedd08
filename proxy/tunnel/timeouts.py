"""`grpc-timeout`: at most eight digits and a unit (PROTOCOL-HTTP2.md, "Timeout")."""

from __future__ import annotations

import math

LONGEST_TIMEOUT_S = 10 * 365 * 86400.0
"""A longer timeout is as good as none. grpc takes the longest that the header can say, eleven thousand years, for one
that has passed."""
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MAX_DIGITS = 8
_MAX_VALUE = 10**_MAX_DIGITS - 1


def parse_timeout(value: str) -> float:
    """Seconds. Raises ValueError that says what is wrong; `99999999H`, eleven thousand years, is as good as none."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _SECONDS or not digits.isascii() or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise ValueError(f"grpc-timeout {value[:24]!r} is not 1 to 8 digits and one of H M S m u n")
    return int(digits) * _SECONDS[unit]


def format_timeout(seconds: float) -> str:
    """The finest unit that holds the value in eight digits; rounded up, so that no deadline is cut to zero."""
    for unit, factor in (("u", 1e6), ("m", 1e3), ("S", 1.0)):
        value = math.ceil(max(seconds, 0.0) * factor)
        if value <= _MAX_VALUE:
            return f"{value}{unit}"
    return f"{min(math.ceil(seconds / 3600), _MAX_VALUE)}H"
