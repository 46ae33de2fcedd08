"""Stateless resets (RFC 9000 section 10.3): how a restarted daemon tells a proxy that their connection is gone.

A token is a keyed hash of the connection ID, so that a daemon that has forgotten the connection can still compute it
(section 10.3.2).
"""

from __future__ import annotations

import hashlib
import hmac

SHORTEST_BYTES = 21
"""A shorter datagram can't be a reset."""
SHORTEST_ANSWERED_BYTES = 43
"""What is answered with a reset must be longer than the reset, or two endpoints could answer each other for ever."""
FILLER_BYTES = SHORTEST_ANSWERED_BYTES - 1 - 16
_TOKEN_BYTES = 16


def reset_token(secret: bytes, connection_id: bytes) -> bytes:
    """The token that goes with one of our connection IDs."""
    return hmac.new(secret, connection_id, hashlib.sha256).digest()[:_TOKEN_BYTES]


def reset_datagram(secret: bytes, connection_id: bytes, *, filler: bytes) -> bytes:
    """A reset for whoever uses `connection_id`.

    `filler` is `FILLER_BYTES` of randomness; the datagram looks like one with a short header.
    """
    return bytes([0x40 | (filler[0] & 0x3F)]) + filler[1:] + reset_token(secret, connection_id)


def shown_token(datagram: bytes) -> bytes | None:
    """The token of a datagram that may be a reset; None for one that can't be."""
    if len(datagram) < SHORTEST_BYTES or datagram[0] & 0x80:
        return None
    return datagram[-_TOKEN_BYTES:]
