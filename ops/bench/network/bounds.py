"""The clairvoyant bound for a scenario's arrivals."""

from __future__ import annotations

from collections.abc import Sequence

from ops.bench import bound
from ops.bench.network.requests import Request
from ops.bench.network.scenario import NetworkScenario

HEADERS_BYTES = 28
"""IPv4's and UDP's (RFC 791 section 3.1, RFC 768): the least that a packet has beside a message's bytes. QUIC has more,
TCP with TLS too, so that no transport can be above the bound."""


def bound_weight(scenario: NetworkScenario, requests: Sequence[Request]) -> float | None:
    """The most weight that any schedule, knowing all arrivals and the link's rate, could have on time.

    None for a link that changes over time or differs between its directions, of which the bound knows nothing.
    """
    link = scenario.link
    if link.changes or link.down:
        return None
    path = bound.Path(link.rate_bits_s / 8, link.delay_s, int(link.mtu_bytes) - HEADERS_BYTES, HEADERS_BYTES)
    classes = scenario.classes
    asked = [
        bound.Request(
            item.arrival_s,
            item.size_bytes,
            item.size_bytes,
            item.arrival_s + classes[item.traffic_class].deadline_s,
            classes[item.traffic_class].weight,
        )
        for item in requests
    ]
    return bound.on_time_bound(asked, path).weight
