from __future__ import annotations

from rich.text import Text

from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.top.ends import End
from proxy.top.panes import Pane, pane
from tests.unit.top.statuses import daemon_status, proxy_status


def seen(name: str, *statuses: pb.Status) -> Pane:
    end = End(name)
    for second, status in enumerate(statuses):
        end.heard(status, at=float(second))
    return pane(end, now=len(statuses) - 1.0, silent_s=3.0)


def lines(shown: Pane, width: int = 160) -> list[str]:
    found = [shown.heading.plain]
    for item in shown.items:
        found += [item.plain] if isinstance(item, Text) else [line.plain for line in item.lines(width)]
    return found


def test_a_proxy() -> None:
    shown = seen("proxy at x:1", proxy_status(100.0), proxy_status(102.0, on_time=970, late=110))
    assert lines(shown) == [
        (
            "proxy at x:1  serving  12 under way  uplink adaptive (pruning) bbr  3 of 14 streams wait, 20.5 kB  "
            "listens on 0.0.0.0:8001  headway 1.2.3"
        ),
        "class     deadline  calls/s  on time      p50     p99  in all  of them  late  failed  refused  missed in",
        (
            "realtime       1 s     50.0   70.0 %  50.0 ms  900 ms    1100   88.1 %   110      15        5  "
            "model_queue 70, uplink_wait 10"
        ),
        "bulk          none      0.0        –        –       –       0        –     0       0        0",
        "tunnel to   calls      rtt  shortest         rate  lost  in flight   window    waits",
        "gpu-a:4433     12  23.4 ms   20.0 ms  5.00 Mbit/s     –     1200 B  41.0 kB  20.5 kB  ProbeBW",
        "gpu-b:4433  LOST: no answer within 5 s",
    ]


def test_a_daemon() -> None:
    shown = seen("x:2", daemon_status(50.0), daemon_status(52.0, large=64, small=56, fallbacks=3))
    assert lines(shown) == [
        "daemon at x:2  serving  3 under way  downlink edf bbr  listens on 0.0.0.0:4433  headway 1.2.3",
        "tritons  a serving  b away",
        "route llm by dqn  effective accuracy 0.600  of 120 decisions not by itself: exception 3",
        "model      on  quality  requests/s   share            in all  running  waiting    takes  failed  GPU",
        (
            "llm-large  a      0.65         2.0  20.0 %  ██            64        2        1  80.0 ms       0    –  "
            "2.0 times as slow as it should be"
        ),
        (
            "llm-small  b       0.4         8.0  80.0 %  ████████      56        0        0        –       0    –  "
            "not ready"
        ),
        "tunnel from  calls  rtt  shortest  rate  lost  in flight  window  waits",
        "10.0.0.2:5       3    –         –     –     –          –       –      –",
    ]


def test_the_first_look_has_no_rates() -> None:
    shown = lines(seen("proxy at x:1", proxy_status()))
    assert shown[2].split()[:5] == ["realtime", "1", "s", "–", "–"]
    assert lines(seen("x:2", daemon_status()))[4].split()[:5] == ["llm-large", "a", "0.65", "–", "–"]


def test_a_process_that_is_not_there() -> None:
    end = End("proxy at x:1")
    assert lines(pane(end, now=0.0, silent_s=3.0)) == ["proxy at x:1  connecting …"]
    end.lost("Connection refused")
    assert lines(pane(end, now=0.0, silent_s=3.0)) == ["proxy at x:1  not reachable: Connection refused"]


def test_a_process_that_says_nothing_any_more() -> None:
    end = End("proxy at x:1")
    end.heard(proxy_status(), at=10.0)
    assert "silent" not in pane(end, now=13.0, silent_s=3.0).heading.plain
    assert pane(end, now=17.0, silent_s=3.0).heading.plain.endswith("silent for 7 s")


def test_what_state_it_is_in() -> None:
    for status, state in (
        (pb.Status(role="proxy", serving=True), "serving"),
        (pb.Status(role="proxy", serving=False), "not serving"),
        (pb.Status(role="proxy", serving=False, draining=True), "draining"),
        (pb.Status(role="proxy"), "serving"),  # of a version that does not say
    ):
        assert seen("x:1", status).heading.plain.startswith(f"proxy at x:1  {state}  0 under way")


def test_over_tcp_there_is_no_scheduler() -> None:
    status = pb.Status(role="proxy", sending=pb.Sending(direction="uplink", transport="tcp"))
    assert "uplink over tcp" in seen("x:1", status).heading.plain


def test_shares_are_coloured() -> None:
    styles = []
    for on_time in (99, 90, 89):
        status = pb.Status(role="proxy", classes=[pb.ClassStatus(name="a", on_time=on_time, late=100 - on_time)])
        [table] = seen("x:1", status).items
        assert not isinstance(table, Text)
        cell = table.rows[0].cells[7]
        assert isinstance(cell, Text)
        styles.append((cell.plain, cell.style))
    assert styles == [("99.0 %", "green"), ("90.0 %", "yellow"), ("89.0 %", "red")]


def test_a_policy_that_could_not_be_made_and_a_daemon_that_drains() -> None:
    guard = pb.GuardStatus(unusable="no file x")
    route = pb.RouteStatus(route="llm", policy="dqn:x", guard=guard, waiting=2, waiting_bytes=20_480)
    assert lines(seen("x:1", pb.Status(role="daemon", routes=[route])))[1] == (
        "route llm by dqn:x  2 kept back, 20.5 kB  greedy in its place: no file x"
    )
    away, drains = pb.ReportedLoad(), pb.ReportedLoad(draining=True)
    tunnels = [
        pb.TunnelStatus(peer=name, state=pb.TunnelState.READY, load=load) for name, load in (("a", away), ("b", drains))
    ]
    shown = lines(seen("x:1", pb.Status(role="proxy", tunnels=tunnels)))
    assert shown[2].endswith("the daemon's backends are away")
    assert shown[3].endswith("the daemon drains")


def test_packets_lost_are_of_the_last_seconds() -> None:
    before, after = proxy_status(100.0, lost=10), proxy_status(102.0, lost=16)
    after.tunnels[0].path.sent_packets = 1100
    shown = lines(seen("proxy at x:1", before, after))
    assert " 6.0 % " in shown[-2]
