"""What the link does to real packets, within margins that a busy machine with two cores keeps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
from pathlib import Path
from statistics import median

import pytest

from ops.link import Change, EmulatedLink, LinkError, LinkSettings, measure
from proxy.clock import MonotonicClock

pytestmark = pytest.mark.slow

BUSY_S = 0.03
"""How late a test's own process may be to read what has arrived, on a machine that does something else too."""


def takes(measured_s: float, expected_s: float) -> bool:
    """Never shorter, but for clocks and rounding; longer by what a busy machine adds."""
    return expected_s - 0.0005 <= measured_s <= expected_s + BUSY_S


async def test_a_round_trip_takes_twice_the_delay() -> None:
    async with EmulatedLink(LinkSettings(delay_s=0.03)) as link:
        round_trips = measure.ping(link, count=8, interval_s=0.0)
    assert len(round_trips) == 8
    assert takes(min(round_trips), 0.06)
    assert takes(median(round_trips), 0.06)


async def test_udp_is_sent_at_the_rate_and_what_the_queue_can_t_hold_is_dropped() -> None:
    async with EmulatedLink(LinkSettings(rate_bits_s=2e6, delay_s=0.02, queue_bytes=30_000)) as link:
        arrivals = measure.udp(link.near, link.far, sizes=[1000] * 80, interval_s=0.0, timeout_s=0.2)
        statistics = link.statistics().up
    # Thirty wait, one is on the wire, and others begin while the burst is being written.
    assert 31 <= len(arrivals) <= 50
    assert (statistics.delivered, statistics.dropped) == (len(arrivals), 80 - len(arrivals))
    assert 29_000 < statistics.queue_bytes_max <= 30_000
    # 1000 bytes take 4 ms.
    took_s = arrivals[-1].arrived_at - arrivals[0].arrived_at
    assert took_s == pytest.approx((len(arrivals) - 1) * 0.004, abs=BUSY_S)
    assert takes(min(one.arrived_at - one.sent_at for one in arrivals), 0.024)


async def test_udp_is_lost_as_often_as_asked_and_by_the_seed() -> None:
    survivors = []
    for _ in range(2):
        async with EmulatedLink(LinkSettings(loss=0.1), seed=5) as link:
            arrivals = measure.udp(link.near, link.far, sizes=[100] * 1000, interval_s=0.0002, timeout_s=0.1)
            assert link.statistics().up.lost == 1000 - len(arrivals)
            survivors.append([one.number for one in arrivals])
    assert survivors[0] == survivors[1]
    assert len(survivors[0]) == pytest.approx(900, abs=38)  # four standard deviations


@pytest.mark.parametrize("control", ["cubic", "bbr"])
async def test_tcp_fills_the_link(control: str) -> None:
    async with EmulatedLink(LinkSettings(rate_bits_s=5e6, delay_s=0.02)) as link:
        available = link.near.sysctl("net.ipv4.tcp_available_congestion_control")
        if control not in available.split():
            pytest.skip(f"this kernel has no TCP {control}, only {available}")
        goodput = await asyncio.to_thread(measure.tcp_goodput, link, control, seconds=1.0, warm_up_s=0.5)
    # Of 1500 bytes 1448 are payload.
    assert goodput.bits_s == pytest.approx(5e6 * 1448 / 1500, rel=0.06)
    assert goodput.lateness_s_mean < 0.002
    assert goodput.shuttle_cpu < 0.4


async def test_tcp_segments_are_cut_to_the_mtu(tmp_path: Path) -> None:
    file = tmp_path / "log.tsv"
    async with EmulatedLink(LinkSettings(rate_bits_s=50e6)) as link:
        with link.log(file):
            await asyncio.to_thread(measure.tcp_goodput, link, "reno", seconds=0.2, warm_up_s=0.0)
        statistics = link.statistics()
    lines = [line.split("\t") for line in file.read_text().splitlines()[1:]]
    assert {1500} <= {int(line[2]) for line in lines if line[1] == "up"}
    assert max(int(line[2]) for line in lines) == 1500
    assert (statistics.up.too_long, statistics.down.too_long) == (0, 0)


async def test_ipv6_and_loopback_work_inside() -> None:
    async with EmulatedLink(LinkSettings(delay_s=0.01)) as link:
        for family, there, bound in (
            (socket.AF_INET6, link.far, link.far.address6),
            (socket.AF_INET, link.near, "127.0.0.1"),
        ):
            with there.socket(family) as listener, link.near.socket(family) as source:
                listener.bind((bound, 0))
                listener.listen(1)
                source.settimeout(5.0)
                source.connect(listener.getsockname())
                assert source.getpeername()[0] == bound


async def test_only_what_programs_send_is_on_the_link() -> None:
    async with EmulatedLink() as link:
        await asyncio.sleep(0.1)
        statistics = link.statistics()
    assert (statistics.up.packets, statistics.down.packets) == (0, 0)


async def test_the_link_changes_at_its_time_and_by_hand() -> None:
    settings = LinkSettings(delay_s=0.01, changes=(Change(0.15, {"delay_s": 0.03}),))
    async with EmulatedLink(settings) as link:
        clock = MonotonicClock()
        start_at = clock.now()
        round_trips = []
        while clock.now() < start_at + 0.3:
            sent_at = clock.now() - start_at
            round_trips += [(sent_at, one) for one in measure.ping(link, count=1, interval_s=0.0)]
        early = [one for sent_at, one in round_trips if sent_at < 0.11]
        late = [one for sent_at, one in round_trips if sent_at > 0.16]
        assert takes(min(early), 0.02)
        assert takes(min(late), 0.06)
        link.change(delay_s=0.0)
        assert min(measure.ping(link, count=3, interval_s=0.0)) < 0.01
        link.change("down", loss=1.0)
        assert measure.ping(link, count=1, timeout_s=0.05) == []
        link.restart_clock()
        assert takes(measure.ping(link, count=1)[0], 0.02)


async def test_the_kernel_s_settings_are_each_side_s_own() -> None:
    key = "net.ipv4.tcp_congestion_control"
    async with EmulatedLink() as link:
        assert link.near.sysctl(key, "reno") == "reno"
        assert link.far.sysctl(key) == "cubic"
        assert link.far.sysctl("net.ipv4.tcp_no_metrics_save") == "1"
        with pytest.raises(LinkError, match=r"tcp_congestion_control can't be 'miracle': .*; this kernel has .*reno"):
            link.near.sysctl(key, "miracle")


async def test_two_links_at_once_do_not_touch_each_other() -> None:
    async with EmulatedLink(LinkSettings(delay_s=0.01)) as one, EmulatedLink(LinkSettings(delay_s=0.04)) as other:
        assert one.name != other.name
        assert takes(min(measure.ping(one, count=3, interval_s=0.0)), 0.02)
        assert takes(min(measure.ping(other, count=3, interval_s=0.0)), 0.08)
        assert one.statistics().up.packets == other.statistics().up.packets == 3


async def test_a_sleepy_shuttle_takes_nothing_from_the_rate() -> None:
    async with EmulatedLink(LinkSettings(rate_bits_s=4e6, queue_bytes=200_000)) as link:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(link.near.socket(kind=socket.SOCK_DGRAM))
            sink = stack.enter_context(link.far.socket(kind=socket.SOCK_DGRAM))
            sink.bind((link.far.address, 0))
            source.connect(sink.getsockname())
            for _ in range(150):
                source.send(bytes(972))
            clock = MonotonicClock()
            start_at = clock.now()
            received = 0
            while received < 150:
                os.kill(link.shuttle_pid, signal.SIGSTOP)
                await asyncio.sleep(0.01)
                os.kill(link.shuttle_pid, signal.SIGCONT)
                await asyncio.sleep(0.005)
                while select.select([sink], [], [], 0)[0]:
                    sink.recv(2048)
                    received += 1
            took_s = clock.now() - start_at
        # A shuttle that counted from its own wake-ups would need three times as long, being stopped two thirds of it.
        assert 0.29 < took_s < 0.45
        assert link.statistics().up.lateness_s_mean > 0.002
