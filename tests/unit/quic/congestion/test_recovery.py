"""Loss recovery on whole connections: what aioquic's does otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.testing.memory_link import LinkSettings
from tests.scenario.bottleneck import POSTER, Bottleneck

FAST = LinkSettings(rate_bytes_s=1_000_000.0, delay_s=0.02, queue_bytes=200_000)
Make = Callable[..., Bottleneck]


@pytest.fixture
def make(certs: Path) -> Make:
    return lambda uplink=FAST, **settings: Bottleneck(certs, uplink=replace(uplink, **settings))


@pytest.mark.slow
def test_reordering_is_learned_and_nothing_more_is_sent_twice(make: Make) -> None:
    bottleneck = make(reorder=0.05, reorder_delay_s=0.01)
    flow = bottleneck.add_flow("bbr")
    bottleneck.run(1.0)
    first = flow.path().late_packets
    bottleneck.run(3.0)
    path = flow.path()
    assert first > 0
    assert path.late_packets - first <= 3  # aioquic's own thresholds: about a hundred
    assert path.lost_packets == 0


@pytest.mark.slow
@pytest.mark.parametrize("control", ["reno", "cubic"])
def test_every_controller_tells_what_the_path_delivers(make: Make, control: str) -> None:
    bottleneck = make(queue_bytes=40_000)
    flow = bottleneck.add_flow(control)
    bottleneck.run(2.0)
    path = flow.path()
    assert path.delivery_rate_bytes_s == pytest.approx(1_000_000, rel=0.1)
    assert (path.congestion_control, path.congestion_state) == (control, "congestion_avoidance")
    assert path.lost_packets > 0
    assert path.lost_bytes == pytest.approx(1452 * path.lost_packets, rel=0.05)


def test_what_a_connection_tells_of_its_sending(make: Make) -> None:
    bottleneck = make(POSTER)
    flow = bottleneck.add_flow("bbr")
    bottleneck.run(0.5)
    path = flow.path()
    assert (path.congestion_control, path.congestion_state) == ("bbr", "startup")
    assert path.delivery_rate_bytes_s == math.inf
    assert path.pacing_rate_bytes_s > 625_000
    # Datagrams of the handshake are padded behind their packets.
    assert path.sent_bytes == pytest.approx(bottleneck.uplink.statistics().sent_bytes, abs=2000)
    assert 0 < path.delivered_bytes < path.sent_bytes
    bottleneck.run(1.0)
    path = flow.path()
    assert path.delivery_rate_bytes_s == pytest.approx(625_000 * 1452 / 1480, rel=0.01)


def test_a_standing_queue_is_no_variance(make: Make) -> None:
    """A probe timeout follows the round trip, 100 ms and the queue's 100 ms, and not twice of it."""
    bottleneck = make(POSTER)
    flow = bottleneck.add_flow("cubic")
    bottleneck.run(1.25)
    assert flow.path().rtt_s == pytest.approx(0.2, abs=0.02)
    timeout_s = flow.client._loss.get_probe_timeout()
    assert timeout_s < 0.3  # with the variance against the minimum: above 0.55


def test_a_short_call_is_never_paced(make: Make) -> None:
    bottleneck = make(POSTER)
    flow = bottleneck.add_flow("bbr", bulk=False)
    bottleneck.run(1.0)
    for _ in range(5):
        sent = bottleneck.uplink.statistics().sent
        flow.client.send_stream_data(0, bytes(8192))
        bottleneck.run(0.0)
        assert bottleneck.uplink.statistics().sent - sent == 6
        bottleneck.run(5.0)


def test_it_tells_its_state(make: Make) -> None:
    flow = make().add_flow("cubic")
    assert repr(flow.client._loss) == (
        "<PathRecovery <MeasuredControl cubic slow_start cwnd=14520>"
        " <Pacer unpaced quantum=2904 credit=14520> <Reordering packets=3 time=1.125 lost=0>>"
    )
