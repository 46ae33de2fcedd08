import math
from pathlib import Path

import pytest

from ops.bench.congestion.wire import read_log
from ops.link.packet_log import COLUMNS

NAN = math.nan


def log(tmp_path: Path, *packets: tuple[float, str, int, str, float, float]) -> Path:
    lines = ["\t".join(COLUMNS)]
    for time_s, direction, size, fate, sent_s, left_s in packets:
        values = {
            "time_s": time_s,
            "direction": direction,
            "bytes": size,
            "queue_bytes": 0,
            "fate": fate,
            "sent_s": sent_s,
            "left_s": left_s,
            "arrived_s": left_s,
        }
        lines.append("\t".join(str(values[name]) for name in COLUMNS))
    file = tmp_path / "packets.tsv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_delays_and_bytes_by_direction_from_where_the_transfer_begins(tmp_path: Path) -> None:
    file = log(
        tmp_path,
        (0.9, "up", 500, "delivered", 0.9, 0.95),
        (1.0, "up", 1000, "delivered", 1.01, 1.05),
        (1.02, "up", 1000, "delivered", 1.05, 1.09),
        (1.02, "up", 1000, "duplicate", 1.05, 1.09),
        (1.03, "down", 60, "delivered", 1.03, 1.031),
        (1.3, "up", 1000, "dropped", NAN, NAN),
        (1.4, "up", 1000, "lost", NAN, NAN),
        (3.5, "up", 2000, "delivered", 3.6, 3.7),
        (5.5, "up", 2000, "delivered", 5.6, 5.7),
    )
    found = read_log(file, begins_s=1.0, seconds=4.0)
    up, down = found["up"], found["down"]
    assert (up["packets"], up["dropped"], up["lost"]) == (5, 1, 1)
    assert (up["wire_bytes"], up["wire_bytes_settled"], down["wire_bytes"]) == (4000, 2000, 60)
    assert up["queueing"] == {"mean_s": pytest.approx(0.14 / 3, abs=1e-6), "p50_s": 0.03, "p95_s": 0.1, "max_s": 0.1}
    assert up["queueing_settled"]["mean_s"] == 0.1
    assert (len(up["wire"]), up["wire"][0], up["wire"][27]) == (41, 2000, 2000)
    assert (up["queueing_s"][0], up["queueing_s"][1], up["queueing_s"][25]) == (0.02, None, 0.1)


def test_a_log_without_packets_has_no_delays(tmp_path: Path) -> None:
    found = read_log(log(tmp_path), begins_s=0.0, seconds=1.0, series=False)
    assert found["up"]["queueing"] == {"mean_s": None, "p50_s": None, "p95_s": None, "max_s": None}
    assert "wire" not in found["up"]
