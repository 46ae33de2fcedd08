import math

import pytest

from proxy.tunnel.exchange import CallTimes, FarTimes
from proxy.tunnel.far_times import decode_times, encode_times


def times() -> CallTimes:
    noted = CallTimes()
    noted.received_at = 1000.25
    return noted


def test_what_the_daemon_noted_comes_out_again() -> None:
    noted = times()
    noted.asked_at, noted.decided_at, noted.sent_at = 1000.251, 1000.2515, 1000.2516
    noted.begun_at, noted.answered_at = 1000.5, 1001.75
    field = encode_times(noted, now=1002.0)
    assert field == b"1000250000;1000;1500;1600;250000;1500000"
    assert decode_times(field) == FarTimes(1000.25, 1000.251, 1000.2515, 1000.2516, 1000.5, 1001.75)


def test_stations_not_passed_are_empty_and_a_refusal_is_the_answer() -> None:
    field = encode_times(times(), now=1000.5)
    assert field == b"1000250000;;;;;250000"
    assert decode_times(field) == FarTimes(1000.25, None, None, None, None, 1000.5)


def test_a_call_that_ended_before_its_first_message_came_is_told_by_its_end() -> None:
    assert decode_times(encode_times(CallTimes(), now=3.0)) == FarTimes(3.0, None, None, None, None, 3.0)


def test_a_request_that_waited_for_its_model_until_the_end_never_began() -> None:
    noted = times()
    noted.sent_at, noted.begun_at = 1000.25, math.inf
    assert decode_times(encode_times(noted, now=1001.0)) == FarTimes(1000.25, None, None, 1000.25, 1001.0, 1001.0)


def test_nothing_is_before_the_request() -> None:
    noted = times()
    noted.sent_at = 999.0
    assert encode_times(noted, now=1000.25) == b"1000250000;;;0;;0"


@pytest.mark.parametrize(
    "field",
    [b"", b"1", b";;;;;", b"1;2;;;5", b"1;2;;;;6;7", b"-1;;;;;0", b"1;x;;;;0", b"1;-2;;;;0", b"1_0;;;;;", b"9" * 200],
)
def test_what_is_no_such_field_is_none(field: bytes) -> None:
    assert decode_times(field) is None


def test_an_answer_without_a_time_came_at_once() -> None:
    assert decode_times(b"7000000;;;;;") == FarTimes(7.0, None, None, None, None, 7.0)
