from __future__ import annotations

import pytest

from proxy.tunnel.timeouts import format_timeout, parse_timeout


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2H", 7200.0),
        ("3M", 180.0),
        ("5S", 5.0),
        ("250m", 0.25),
        ("1500u", 0.0015),
        ("500n", 5e-7),
        ("0m", 0.0),
        ("00000001S", 1.0),
        ("99999999H", 359_999_996_400.0),
    ],
)
def test_every_unit(value: str, seconds: float) -> None:
    assert parse_timeout(value) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "S",
        "5",
        "-1S",
        "+1S",
        "1x",
        "1s",
        "1h",
        "123456789m",
        "1.5S",
        " 1S",
        "1S ",
        "1 S",
        "1_0S",
        "²S",
        chr(0x661) + "S",
        "1SS",
    ],
)
def test_anything_else_is_malformed_and_named(value: str) -> None:
    with pytest.raises(ValueError, match=r"is not 1 to 8 digits and one of H M S m u n") as caught:
        parse_timeout(value)
    assert repr(value) in str(caught.value)


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match="grpc-timeout") as caught:
        parse_timeout("9" * 10_000)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (0.05, "50000u"),
        (1e-9, "1u"),
        (0.0, "0u"),
        (-3.0, "0u"),
        (99.999999, "99999999u"),
        (100.0, "100000m"),
        (100.0005, "100001m"),
        (99_999.999, "99999999m"),
        (100_000.0, "100000S"),
        (99_999_999.0, "99999999S"),
        (100_000_000.0, "27778H"),
        (1e15, "99999999H"),
    ],
)
def test_the_finest_unit_that_fits(seconds: float, value: str) -> None:
    assert format_timeout(seconds) == value
