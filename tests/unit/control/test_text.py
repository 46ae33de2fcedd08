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
)
PROXY = pb.Status(
    role="proxy",
    version="1.2.3",
    listen="0.0.0.0:8001",
    calls=1,
    sending=pb.Sending(direction="uplink", scheduler="edf", congestion_control="cubic", transport="quic"),
    tunnels=[
        pb.TunnelStatus(
            peer="gpu-a:4433",
            state=pb.TunnelState.READY,
            calls=1,
            path=PATH,
            load=pb.ReportedLoad(calls=7, serving=True),
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
    routes=[pb.RouteStatus(route="llm", policy="static:llm-small")],
)


def test_lines_of_a_proxy() -> None:
    assert list(status_lines(PROXY, at="127.0.0.1:8009")) == [
        "proxy at 127.0.0.1:8009: headway 1.2.3, listens on 0.0.0.0:8001, 1 call",
        "  uplink: edf over quic, cubic",
        (
            "  tunnel to gpu-a:4433: READY, 1 call, rtt 23.4 ms (least 20.0), rate 10.00 Mbit/s, "
            "window 5000000000 B, 1200 B in flight, datagrams up to 1452 B"
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
        "  route llm: static:llm-small",
    ]


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
    }
    assert "path" not in second
