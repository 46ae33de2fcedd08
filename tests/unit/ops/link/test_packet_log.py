from __future__ import annotations

from pathlib import Path

from ops.link.lane import Lane
from ops.link.packet_log import PacketLog
from ops.link.settings import Direction, LinkSettings


def test_a_line_for_each_packet_with_times_from_the_origin(tmp_path: Path) -> None:
    lane = Lane(LinkSettings(rate_bits_s=1e6, queue_bytes=0, delay_s=0.05), seed=1, direction=Direction.UP)
    file = tmp_path / "log.tsv"
    log = PacketLog(file, origin_at=100.0)
    first, dropped = (lane.enter(bytes(125), now=101.0) for _ in range(2))
    log.add(Direction.UP, dropped)
    lane.arrived(now=102.0)
    log.origin_at = 101.0
    log.add(Direction.UP, first)
    log.close()
    assert file.read_text().splitlines() == [
        "time_s\tdirection\tbytes\tqueue_bytes\tfate\tsent_s\tleft_s\tarrived_s",
        "1.000000\tup\t125\t0\tdropped\tnan\tnan\tnan",
        "0.000000\tup\t125\t0\tdelivered\t0.000000\t0.001000\t0.051000",
    ]
