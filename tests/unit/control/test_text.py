from __future__ import annotations

import json

from proxy.control.text import status_lines, status_object
from proxy.pb.headway.v1 import control_pb2 as pb

PATH = pb.PathStatus(
    rtt_s=0.0234,
    min_rtt_s=0.02,
    congestion_window_bytes=5_000_000_000,
    bytes_in_flight=1200,
    datagram_bytes=1452,
    delivery_rate_bytes_s=1_250_000.0,
    sent_packets=200,
    lost_packets=1,
    congestion_state="ProbeBW",
)
PROXY = pb.Status(
    role="proxy",
    version="1.2.3",
    listen="0.0.0.0:8001",
    calls=1,
    sending=pb.Sending(
        direction="uplink",
        scheduler="adaptive",
        congestion_control="cubic",
        transport="quic",
        queue=pb.QueueStatus(streams=12, streams_ready=3, pending_bytes=20_480, modes=["pruning"]),
    ),
    serving=True,
    classes=[
        pb.ClassStatus(
            name="realtime",
            deadline_s=1.0,
            on_time=90,
            late=6,
            failed=3,
            refused=1,
            cancelled=1,
            missed={"uplink_wait": 1, "model_queue": 6},
            latency=pb.RecentLatency(window_s=30, calls=40, p50_s=0.05, p99_s=0.9),
        ),
        pb.ClassStatus(name="bulk", latency=pb.RecentLatency(window_s=30)),
    ],
    tunnels=[
        pb.TunnelStatus(
            peer="gpu-a:4433",
            state=pb.TunnelState.READY,
            calls=1,
            path=PATH,
            load=pb.ReportedLoad(calls=7, serving=True),
            queue=pb.QueueStatus(streams=2, streams_ready=1, pending_bytes=2_048, modes=["pruning"]),
        ),
        pb.TunnelStatus(peer="gpu-b:4433", state=pb.TunnelState.READY, load=pb.ReportedLoad(draining=True)),
        pb.TunnelStatus(peer="gpu-c:4433", state=pb.TunnelState.READY, load=pb.ReportedLoad()),
        pb.TunnelStatus(
            peer="gpu-d:4433", state=pb.TunnelState.LOST, reason="daemon gpu-d:4433 is unreachable: no answer"
        ),
        pb.TunnelStatus(
            peer="gpu-e:4433",
            state=pb.TunnelState.READY,
            reason="takes no new calls",
            calls=2,
            load=pb.ReportedLoad(serving=True),
        ),
    ],
)
DAEMON = pb.Status(
    role="daemon",
    version="1.2.3",
    listen="0.0.0.0:4433",
    draining=True,
    calls=2,
    sending=pb.Sending(direction="downlink", transport="tcp"),
    tunnels=[pb.TunnelStatus(peer="10.0.0.2:5", state=pb.TunnelState.READY, calls=2)],
    tritons=[pb.TritonStatus(name="a", serving=True), pb.TritonStatus(name="b")],
    routes=[
        pb.RouteStatus(
            route="llm",
            policy="dqn",
            guard=pb.GuardStatus(decisions=9, fallbacks={"resting": 1, "exception": 3}),
            waiting=3,
            waiting_bytes=4096,
            candidates=[
                pb.CandidateStatus(
                    model="llm-large",
                    triton="a",
                    quality=0.65,
                    ready=True,
                    requests=6,
                    running=2,
                    waiting=1,
                    finished=5,
                    failed=1,
                    slow_down=1.25,
                    latency_s=0.08,
                    gpu_load=0.5,
                ),
                pb.CandidateStatus(model="llm-small", triton="b", quality=0.4, requests=2, slow_down=1.0),
            ],
            classes=[pb.RouteClassStatus(name="realtime", requests=4, worth=2.1), pb.RouteClassStatus(name="bulk")],
        ),
        pb.RouteStatus(
            route="old", policy="dqn:gone.safetensors", guard=pb.GuardStatus(decisions=1, unusable="no such file")
        ),
    ],
)


def test_lines_of_a_proxy() -> None:
    assert list(status_lines(PROXY, at="127.0.0.1:8009")) == [
        "proxy at 127.0.0.1:8009: headway 1.2.3, listens on 0.0.0.0:8001, 1 call",
        "  uplink: adaptive (pruning) over quic, cubic, 3 of 12 streams to be sent with 20480 B",
        (
            "  class realtime: deadline 1 s, 90.0 % on time of 100 calls, 6 late, 3 failed, 1 refused, 1 cancelled, "
            "missed in model_queue 6 uplink_wait 1, p50 50.0 ms p99 900 ms (40 in the last 30 s)"
        ),
        "  class bulk: – on time of 0 calls",
        (
            "  tunnel to gpu-a:4433: READY, 1 call, rtt 23.4 ms (least 20.0), rate 10.00 Mbit/s, "
            "window 5000000000 B, 1200 B in flight, datagrams up to 1452 B, lost 0.5 % of 200 packets, ProbeBW, "
            "1 stream to be sent with 2048 B"
        ),
        "  tunnel to gpu-b:4433: READY, 0 calls, the daemon drains",
        "  tunnel to gpu-c:4433: READY, 0 calls, the daemon's backends are away",
        "  tunnel to gpu-d:4433: LOST, daemon gpu-d:4433 is unreachable: no answer",
        "  tunnel to gpu-e:4433: READY, takes no new calls, 2 calls",
    ]


def test_lines_of_a_daemon() -> None:
    assert list(status_lines(DAEMON, at="127.0.0.1:8010")) == [
        "daemon at 127.0.0.1:8010: headway 1.2.3, listens on 0.0.0.0:4433, 2 calls, draining",
        "  downlink: over tcp, which has no stream scheduler",
        "  tunnel from 10.0.0.2:5: READY, 2 calls",
        "  triton a: serving",
        "  triton b: away",
        (
            "  route llm: dqn, 3 requests kept back with 4096 B, 9 decisions, not by itself exception 3 resting 1, "
            "realtime 4 of worth 0.525"
        ),
        (
            "    llm-large at a: ready, quality 0.65, 6 requests (75.0 %), 2 running, 1 waiting, takes 80.0 ms, "
            "slowed 1.2 times, 1 of 5 failed, GPU 50.0 %"
        ),
        "    llm-small at b: NOT READY, quality 0.4, 2 requests (25.0 %), 0 running, 0 waiting",
        "  route old: dqn:gone.safetensors, 1 decision, greedy in its place (no such file)",
    ]


def test_a_process_whose_backends_are_away_says_so_and_an_older_one_says_nothing() -> None:
    [line, *_] = status_lines(pb.Status(role="daemon", serving=False), at="x:1")
    assert line.endswith("0 calls, not serving: no backend answers")
    [line, *_] = status_lines(pb.Status(role="daemon"), at="x:1")
    assert line.endswith("0 calls")


def test_the_object_has_the_proto_s_names_and_plain_numbers() -> None:
    plain = json.loads(json.dumps(status_object(PROXY, at="127.0.0.1:8009")))
    assert list(plain) == ["at", *(field.name for field in pb.Status.DESCRIPTOR.fields)]
    assert (plain["at"], plain["calls"], plain["draining"], plain["routes"]) == ("127.0.0.1:8009", 1, False, [])
    first, second = plain["tunnels"][:2]
    assert (first["state"], first["load"]) == ("READY", {"calls": 7, "draining": False, "serving": True})
    assert first["path"] == {
        "rtt_s": 0.0234,
        "min_rtt_s": 0.02,
        "congestion_window_bytes": 5000000000,
        "bytes_in_flight": 1200,
        "datagram_bytes": 1452,
        "delivery_rate_bytes_s": 1250000.0,
        "sent_packets": 200,
        "lost_packets": 1,
        "late_packets": 0,
        "congestion_state": "ProbeBW",
    }
    assert plain["classes"][0]["missed"] == {"model_queue": 6, "uplink_wait": 1}
    assert (plain["serving"], plain["sending"]["queue"]["modes"]) == (True, ["pruning"])
    assert "path" not in second
