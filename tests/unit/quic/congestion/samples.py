"""Samples as a path would give them."""

from __future__ import annotations

from proxy.quic.congestion.delivery_rate import RateSample

SIZE = 1000


def sample(
    rate: float = 100_000.0,
    *,
    rtt: float = 0.1,
    app_limited: bool = False,
    delivered: int = 10 * SIZE,
    prior_delivered: int = 0,
    newly_acked: int = SIZE,
    newly_lost: int = 0,
    lost: int = 0,
    tx_in_flight: int = 10 * SIZE,
) -> RateSample:
    """A hundred packets a second, a tenth of a second to and fro."""
    return RateSample(
        delivery_rate=rate,
        app_limited=app_limited,
        rtt=rtt,
        delivered=delivered,
        prior_delivered=prior_delivered,
        newly_acked=newly_acked,
        newly_lost=newly_lost,
        lost=lost,
        tx_in_flight=tx_in_flight,
    )
