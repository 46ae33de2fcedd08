from __future__ import annotations

import pytest

from proxy.control.figures import counted, megabits, milliseconds, percent, size, span
from proxy.pb.headway.v1 import control_pb2 as pb


def test_what_the_client_cancelled_counts_neither_way() -> None:
    assert counted(pb.ClassStatus(on_time=10, late=3, failed=2, refused=1, cancelled=100)) == 16


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "–"), (0, 7, "0.0 %"), (7, 7, "100.0 %"), (9999, 10000, "99.9 %")]
)
def test_a_share_is_100_only_when_nothing_is_missing(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_times_and_rates() -> None:
    assert [milliseconds(seconds) for seconds in (0.00012, 0.0234, 0.0999, 1.2345)] == [
        "0.1 ms",
        "23.4 ms",
        "99.9 ms",
        "1234 ms",
    ]
    assert [megabits(rate) for rate in (625_000, 125_000_000)] == ["5.00 Mbit/s", "1000 Mbit/s"]
    assert [span(seconds) for seconds in (0.25, 1.0, 7.5)] == ["250 ms", "1 s", "7.5 s"]


def test_sizes() -> None:
    assert [size(number) for number in (0, 9999, 10_000, 999_999, 1_000_000, 2.5e9)] == [
        "0 B",
        "9999 B",
        "10.0 kB",
        "1000.0 kB",
        "1.0 MB",
        "2.5 GB",
    ]
