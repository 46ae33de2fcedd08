"""A proxy and a daemon as they tell of themselves, at moments of the test's choice."""

from __future__ import annotations

from proxy.pb.headway.v1 import control_pb2 as pb


def proxy_status(clock_s: float = 100.0, *, on_time: int = 900, late: int = 80, lost: int = 10) -> pb.Status:
    """A proxy of two classes and two daemons, one of which is away."""
    return pb.Status(
        role="proxy",
        version="1.2.3",
        listen="0.0.0.0:8001",
        calls=12,
        serving=True,
        clock_s=clock_s,
        sending=pb.Sending(
            direction="uplink",
            scheduler="adaptive",
            congestion_control="bbr",
            transport="quic",
            queue=pb.QueueStatus(streams=14, streams_ready=3, pending_bytes=20_480, modes=["pruning"]),
        ),
        classes=[
            pb.ClassStatus(
                name="realtime",
                deadline_s=1.0,
                on_time=on_time,
                late=late,
                failed=15,
                refused=5,
                missed={"model_queue": 70, "uplink_wait": 10},
                latency=pb.RecentLatency(window_s=30, calls=40, p50_s=0.05, p99_s=0.9),
            ),
            pb.ClassStatus(name="bulk", latency=pb.RecentLatency(window_s=30)),
        ],
        tunnels=[
            pb.TunnelStatus(
                peer="gpu-a:4433",
                state=pb.TunnelState.READY,
                calls=12,
                load=pb.ReportedLoad(serving=True),
                path=pb.PathStatus(
                    rtt_s=0.0234,
                    min_rtt_s=0.02,
                    congestion_window_bytes=41_000,
                    bytes_in_flight=1200,
                    delivery_rate_bytes_s=625_000,
                    sent_packets=1000,
                    lost_packets=lost,
                    congestion_state="ProbeBW",
                ),
                queue=pb.QueueStatus(pending_bytes=20_480),
            ),
            pb.TunnelStatus(peer="gpu-b:4433", state=pb.TunnelState.LOST, reason="no answer within 5 s"),
        ],
    )


def daemon_status(clock_s: float = 50.0, *, large: int = 60, small: int = 40, fallbacks: int = 0) -> pb.Status:
    """A daemon of two Tritons, one of which is away, and a route with two candidates."""
    return pb.Status(
        role="daemon",
        version="1.2.3",
        listen="0.0.0.0:4433",
        calls=3,
        serving=True,
        clock_s=clock_s,
        sending=pb.Sending(direction="downlink", scheduler="edf", congestion_control="bbr", transport="quic"),
        tritons=[pb.TritonStatus(name="a", serving=True), pb.TritonStatus(name="b")],
        tunnels=[pb.TunnelStatus(peer="10.0.0.2:5", state=pb.TunnelState.READY, calls=3)],
        routes=[
            pb.RouteStatus(
                route="llm",
                policy="dqn",
                guard=pb.GuardStatus(decisions=large + small, fallbacks={"exception": fallbacks} if fallbacks else {}),
                candidates=[
                    pb.CandidateStatus(
                        model="llm-large",
                        triton="a",
                        quality=0.65,
                        ready=True,
                        requests=large,
                        running=2,
                        waiting=1,
                        slow_down=2.0,
                        latency_s=0.08,
                    ),
                    pb.CandidateStatus(model="llm-small", triton="b", quality=0.4, requests=small, slow_down=1.0),
                ],
                classes=[pb.RouteClassStatus(name="realtime", requests=large + small, worth=0.6 * (large + small))],
            )
        ],
    )
