"""`grpc-timeout`: what is written can be read, is never shorter than it was and hardly longer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tunnel.timeouts import format_timeout, parse_timeout


@given(seconds=st.floats(0, 1e11))
def test_written_timeouts_are_read_back_rounded_up(seconds: float) -> None:
    value = format_timeout(seconds)
    assert re.fullmatch(r"[0-9]{1,8}[HMSmun]", value)
    back = parse_timeout(value)
    unit_s = {"u": 1e-6, "m": 1e-3, "S": 1.0, "H": 3600.0}[value[-1]]
    assert seconds - 1e-9 * seconds <= back <= seconds + unit_s + 1e-9 * seconds
    assert unit_s <= max(1e-6, seconds / 9e4)


@given(seconds=st.floats(-1e300, 1e300))
def test_any_number_of_seconds_can_be_written(seconds: float) -> None:
    assert parse_timeout(format_timeout(seconds)) >= 0


@given(digits=st.from_regex(r"[0-9]{1,8}", fullmatch=True), unit=st.sampled_from("HMSmun"))
def test_everything_that_the_grammar_allows(digits: str, unit: str) -> None:
    seconds = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}[unit]
    assert parse_timeout(digits + unit) == int(digits) * seconds


@given(value=st.text(max_size=12) | st.from_regex(r"[-+0-9 .]{0,10}[HMSmunxs]?", fullmatch=True))
def test_nothing_that_it_does_not_allow(value: str) -> None:
    allowed = re.fullmatch(r"[0-9]{1,8}[HMSmun]", value, re.ASCII) is not None
    if allowed:
        assert parse_timeout(value) >= 0
    else:
        with pytest.raises(ValueError, match="grpc-timeout"):
            parse_timeout(value)
