"""The page fits its window, whatever that is."""

from __future__ import annotations

import itertools

import pytest

from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.top.ends import End
from proxy.top.screen import screen
from tests.unit.top.statuses import daemon_status, proxy_status


def ends() -> list[End]:
    """A proxy and a daemon after two seconds, and one that is away."""
    proxy, daemon, away = End("proxy at x:1"), End("daemon at x:2"), End("y:3")
    for second in (0.0, 2.0):
        proxy.heard(proxy_status(100.0 + second), at=second)
        daemon.heard(daemon_status(50.0 + second), at=second)
    away.lost("Connection refused")
    return [proxy, daemon, away]


def page(width: int, height: int | None, of: list[End] | None = None) -> list[str]:
    lines = screen(ends() if of is None else of, width=width, height=height, now=2.0, interval_s=1.0)
    return [line.plain for line in lines]


@pytest.mark.parametrize(("width", "height"), list(itertools.product((1, 20, 80, 200), (1, 2, 5, 12, 24, 60))))
def test_a_page_is_as_high_as_the_window_and_no_wider(width: int, height: int) -> None:
    lines = screen(ends(), width=width, height=height, now=2.0, interval_s=1.0)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width
    assert all("\n" not in line.plain for line in lines)


def test_with_room_processes_stand_apart_and_the_keys_are_below() -> None:
    lines = page(160, 30)
    assert [line.split("  ")[0] for line in lines if " at " in line] == ["proxy at x:1", "daemon at x:2"]
    assert lines[lines.index(next(line for line in lines if line.startswith("daemon"))) - 1] == ""
    assert "y:3  not reachable: Connection refused" in lines
    assert lines[-1].startswith("q quits   ")
    assert lines[-2] == ""


def test_the_longest_table_gives_up_rows_first() -> None:
    proxy = End("proxy at x:1")
    status = proxy_status()
    del status.tunnels[:]
    for number in range(30):
        status.tunnels.append(pb.TunnelStatus(peer=f"gpu-{number}:1", state=pb.TunnelState.READY))
    proxy.heard(status, at=2.0)
    lines = page(160, 12, [proxy])
    assert [line.split()[0] for line in lines[:4]] == ["proxy", "class", "realtime", "bulk"]
    assert lines[-2] == "  … 25 more"
    assert [line.split()[0] for line in lines[5:-2]] == [f"gpu-{number}:1" for number in range(5)]


def test_a_window_that_is_too_small_for_a_line_of_each_says_so() -> None:
    assert page(160, 4)[-2] == "… more in a taller window"
    assert page(160, 1)[0].startswith("q quits")
    assert page(160, 0) == []


def test_without_a_height_everything_is_there() -> None:
    lines = page(40, None)
    assert len([line for line in lines if line]) == 17
    assert lines[-1] == "calls/s, the first on time, share, accu…"
    assert all(len(line) <= 40 for line in lines)


def test_nothing_to_look_at() -> None:
    assert page(40, 3, [])[:2] == ["", ""]
