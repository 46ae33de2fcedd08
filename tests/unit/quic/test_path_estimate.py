"""What schedulers are told of the path, and when."""

from __future__ import annotations

import math

import pytest

from policies.scheduling.base import PathEstimate
from proxy.quic.path_estimate import PathReports


def report(reports: PathReports, rate_bytes_s: float, rtt_s: float) -> PathEstimate | None:
    return reports.report(rate_bytes_s=rate_bytes_s, rtt_s=rtt_s, datagram_bytes=1280)


def test_of_each_packet_32_bytes_are_no_stream_s() -> None:
    assert report(PathReports(is_client=True), 1280.0, 0.1) == PathEstimate(1248.0, 0.1, 0.1)


def test_an_answer_takes_half_a_round_trip_and_a_request_with_its_answer_a_whole_one() -> None:
    answers, requests = (report(PathReports(is_client=is_client), 1e6, 0.5) for is_client in (False, True))
    assert answers is not None
    assert requests is not None
    assert (answers.delivery_s, requests.delivery_s) == (0.25, 0.5)


def test_an_unknown_rate_stays_unknown() -> None:
    assert report(PathReports(is_client=True), math.inf, 0.0) == PathEstimate(math.inf, 0.0, 0.0)


@pytest.mark.parametrize(
    ("rate_bytes_s", "rtt_s", "told"),
    [
        (1000.0, 0.1, False),
        (1020.0, 0.102, False),
        (980.0, 0.098, False),
        (1040.0, 0.1, True),
        (960.0, 0.1, True),
        (1000.0, 0.104, True),
        (1000.0, 0.096, True),
        (math.inf, 0.1, True),
        (1000.0, 0.0, True),
    ],
)
def test_only_what_has_changed_noticeably_is_told(rate_bytes_s: float, rtt_s: float, told: bool) -> None:
    reports = PathReports(is_client=True)
    report(reports, 1000.0, 0.1)
    assert (report(reports, rate_bytes_s, rtt_s) is not None) is told


def test_the_first_sample_after_none_is_told() -> None:
    reports = PathReports(is_client=True)
    report(reports, math.inf, 0.0)
    assert report(reports, math.inf, 0.0) is None
    assert report(reports, 1e9, 0.0) is not None


def test_small_changes_add_up() -> None:
    reports = PathReports(is_client=True)
    told = [report(reports, 1000.0 * 1.01**step, 0.1) is not None for step in range(9)]
    assert told == [True, False, False, False, True, False, False, False, True]


def test_who_is_new_is_told_again() -> None:
    reports = PathReports(is_client=True)
    first = report(reports, 1000.0, 0.1)
    reports.forget()
    assert report(reports, 1000.0, 0.1) == first


def test_repr_shows_the_last_report() -> None:
    reports = PathReports(is_client=True)
    report(reports, 1000.0, 0.1)
    assert repr(reports) == "<PathReports rate_bytes_s=1000 rtt_s=0.1>"
