"""What needs no link; the rest is in tests/link."""

from __future__ import annotations

import socket

from ops.link import measure


class Loopback:
    address = "127.0.0.1"

    def socket(self, family: int, kind: int) -> socket.socket:
        return socket.socket(family, kind)


def test_udp_tells_of_each_datagram_when_it_was_sent_and_when_it_arrived() -> None:
    here = Loopback()
    arrivals = measure.udp(here, here, sizes=[100, 1500] * 10, interval_s=0.001, timeout_s=0.02)
    assert [one.number for one in arrivals] == list(range(20))
    assert all(0 <= one.arrived_at - one.sent_at < 1 for one in arrivals)
