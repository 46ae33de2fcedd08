"""What BBR makes of a link: how much of it, with what queue, beside others, and when it changes.

The link is the one of the experiments: 5 Mbit/s, 50 ms each way, 64 KiB of queue. Shares are of the link's rate in IP
bytes, of which a stream can have 95.8 % at most. `tests.scenario.bottleneck` prints the same and more as tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scenario.bottleneck import POSTER, RATE_BYTES_S, Bottleneck, Flow, flood, jain_index, mean_ms, p95_ms

pytestmark = pytest.mark.slow
Make = Callable[..., Bottleneck]


@pytest.fixture
def make(certs: Path) -> Make:
    return lambda **settings: Bottleneck(certs, uplink=replace(POSTER, **settings))


def share(flow: Flow, begin_at: float, end_at: float, rate_bytes_s: float = RATE_BYTES_S) -> float:
    return flow.delivered_between(begin_at, end_at) / (end_at - begin_at) / rate_bytes_s


@pytest.mark.parametrize("loss", [0.0, 0.005, 0.02])
def test_bbr_fills_the_link_and_keeps_the_queue_short(make: Make, loss: float) -> None:
    bottleneck = make(loss=loss)
    flow = bottleneck.add_flow("bbr")
    bottleneck.run(12.0)
    delays = bottleneck.queueing_s(2.0, 12.0)
    assert share(flow, 2.0, 12.0) > 0.925
    assert mean_ms(delays) < 25.0  # a quarter of the round trip
    assert p95_ms(delays) < 70.0
    assert flow.path().late_packets == 0


@pytest.mark.parametrize("control", ["reno", "cubic"])
def test_the_others_need_a_link_without_losses(make: Make, control: str) -> None:
    clean, lossy = make(), make(loss=0.02)
    flows = [bottleneck.add_flow(control) for bottleneck in (clean, lossy)]
    for bottleneck in (clean, lossy):
        bottleneck.run(8.0)
    assert share(flows[0], 2.0, 8.0) > 0.92
    assert share(flows[1], 2.0, 8.0) < 0.5
    assert mean_ms(clean.queueing_s(2.0, 8.0)) > 25.0


def test_a_late_bbr_flow_gets_its_share(make: Make) -> None:
    bottleneck = make()
    flows = [bottleneck.add_flow("bbr"), bottleneck.add_flow("bbr", starts_in_s=5.0)]
    bottleneck.run(30.0)
    shares = [share(flow, 10.0, 30.0) for flow in flows]
    assert jain_index(shares) > 0.9
    assert sum(shares) > 0.9
    assert mean_ms(bottleneck.queueing_s(10.0, 30.0)) < 75.0


@pytest.mark.parametrize(
    ("queue_bytes", "starts_s"),
    [(62_500, (0.0, 5.0)), (125_000, (5.0, 0.0))],
    ids=["bbr first, a queue of one round trip", "cubic first, two round trips"],
)
def test_bbr_and_cubic_leave_each_other_room(make: Make, queue_bytes: int, starts_s: tuple[float, float]) -> None:
    bottleneck = make(queue_bytes=queue_bytes)
    bbr, cubic = (
        bottleneck.add_flow(control, starts_in_s=start)
        for control, start in zip(("bbr", "cubic"), starts_s, strict=True)
    )
    bottleneck.run(30.0)
    assert min(share(bbr, 10.0, 30.0), share(cubic, 10.0, 30.0)) > 0.22
    assert share(bbr, 10.0, 30.0) + share(cubic, 10.0, 30.0) > 0.9


@pytest.mark.parametrize(
    ("changes", "recovered_at", "rate"),
    [
        ({5: {"rate_bytes_s": RATE_BYTES_S / 2}}, 8.0, 0.5),
        ({5: {"rate_bytes_s": 2 * RATE_BYTES_S}}, 10.0, 2.0),
        ({5: {"delay_s": 0.1}}, 6.0, 1.0),
        ({5: {"delay_s": 0.025}}, 7.0, 1.0),
        ({5: {"rate_bytes_s": RATE_BYTES_S / 2, "delay_s": 0.1}}, 9.0, 0.5),
        ({5: {"loss": 0.1}, 9: {"loss": 0.0}}, 12.0, 1.0),
        ({5: {"loss": 1.0}, 8: {"loss": 0.0}}, 11.0, 1.0),
    ],
    ids=[
        "half the rate",
        "twice the rate",
        "twice the delay",
        "half the delay",
        "another path",
        "10 % loss",
        "nothing",
    ],
)
def test_a_link_that_changes_is_filled_again(
    make: Make, changes: dict[int, dict[str, float]], recovered_at: float, rate: float
) -> None:
    bottleneck = make()
    flow = bottleneck.add_flow("bbr")
    for second in range(16):
        bottleneck.change(**changes.get(second, {}))
        bottleneck.run(1.0)
    # The slow one is twice the delay: until the shortest round trip is measured anew, after ten seconds, the longer way
    # looks like a queue.
    assert share(flow, recovered_at, 16.0, rate * RATE_BYTES_S) > 0.75
    assert mean_ms(bottleneck.queueing_s(recovered_at, 16.0)) < 60.0 / rate


def test_ten_per_cent_of_loss_leaves_a_third_of_the_link(make: Make) -> None:
    bottleneck = make(loss=0.1)
    flow = bottleneck.add_flow("bbr")
    bottleneck.run(10.0)
    assert share(flow, 2.0, 10.0) > 0.3


def test_after_a_pause_the_known_rate_is_sent_at_once_and_not_more(make: Make) -> None:
    bottleneck = make()
    flow = bottleneck.add_flow("bbr")
    bottleneck.run(4.0)
    flow.bulk = False
    bottleneck.run(30.0)
    assert flow.path().bytes_in_flight == 0
    begin = bottleneck.now
    flow.bulk = True
    flow.client.send_stream_data(0, bytes(500_000))
    bottleneck.run(1.0)
    # The first bytes arrive after 50 ms; from then on the link is full.
    assert share(flow, begin + 0.06, begin + 0.5) > 0.85
    assert max(bottleneck.queueing_s(begin, begin + 0.2)) < 0.06
    assert bottleneck.uplink.statistics().dropped <= 16  # all of them in the first second


def test_requests_keep_their_time_with_both_directions_full(certs: Path) -> None:
    idle, flooded, flow = flood(certs, loss=0.0, seed=1)
    assert len(idle) == len(flooded) == 200
    # Probes of the two directions that fall together cost one request in a hundred more than half of the idle time.
    assert flooded[180] < 1.5 * idle[180]
    assert flooded[198] < 2.0 * idle[198]
    assert share(flow, 5.0, 25.0) > 0.75
