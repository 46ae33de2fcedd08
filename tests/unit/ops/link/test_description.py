from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from ops.link.description import parse_changes, parse_link, read_direction, read_value
from ops.link.errors import SettingsError
from ops.link.settings import Change, Direction, LinkSettings


def parsed(text: str) -> LinkSettings:
    return parse_link(yaml.safe_load(text), "link")


def test_a_link_as_people_write_it() -> None:
    text = "{rate: 5mbit, delay: 50ms, jitter: 0ms, loss: 0.5%, queue: 64KiB, changes: [{at: 10s, rate: 2mbit}]}"
    assert parsed(text) == LinkSettings(
        rate_bits_s=5e6, delay_s=0.05, loss=0.005, queue_bytes=65536, changes=(Change(10.0, {"rate_bits_s": 2e6}),)
    )


def test_a_way_down_of_its_own() -> None:
    settings = parsed("{rate: 1mbit, down: {rate: 8mbit}, changes: [{at: 0, loss: 2%, direction: down}]}")
    assert settings.down == {"rate_bits_s": 8e6}
    assert settings.changes == (Change(0.0, {"loss": 0.02}, Direction.DOWN),)


@pytest.mark.parametrize(
    ("word", "value", "number"),
    [
        ("rate", "500 kbit", 5e5),
        ("rate", "5Mbit/s", 5e6),
        ("rate", "1.5gbit", 1.5e9),
        ("rate", "unlimited", math.inf),
        ("rate", 0, 0.0),
        ("delay", "1500us", 0.0015),
        ("delay", "0", 0.0),
        ("delay", ".5s", 0.5),
        ("loss", 0.02, 0.02),
        ("loss", "0.02", 0.02),
        ("loss", "100%", 1.0),
        ("loss_burst", 4, 4.0),
        ("queue", 65536, 65536.0),
        ("queue", "65536", 65536.0),
        ("queue", "1.5kB", 1500.0),
        ("mtu", 1280, 1280.0),
    ],
)
def test_values(word: str, value: object, number: float) -> None:
    assert read_value(word, value, "link") == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{rat: 5mbit}", "link.rat is unknown; did you mean rate?"),
        ("{colour: red}", "link.colour is unknown; allowed: rate, delay"),
        ("{rate: 5}", "link.rate: 5 is not a rate such as 500kbit"),
        ("{rate: 5mb}", "link.rate: '5mb' is not a rate such as 500kbit"),
        ("{delay: 50}", "link.delay: 50 is not a time such as 50ms"),
        ("{delay: -5ms}", "link.delay: '-5ms' is not a time"),
        ("{delay: 2000000s}", "link.delay: '2000000s' is not a time"),
        ("{loss: 5}", "link.loss: 5 is not a share of the packets such as 0.5% or 0.005, at most 100%"),
        ("{loss: true}", "link.loss: True is not a share"),
        ("{loss: .nan}", "link.loss: nan is not a share"),
        ("{loss: much}", "link.loss: 'much' is not a share"),
        ("{loss_burst: 0}", "link.loss_burst: 0 is not a number of packets, 1 or more"),
        ("{queue: 64k}", "link.queue: '64k' is not a size such as 65536, 64KiB or 1MB"),
        ("{queue: 0.0003kB}", "link.queue: '0.0003kB' is not a size"),
        ("{mtu: 20}", "link.mtu: 20 is not a size from 68 to 65535 bytes"),
        ("{loss: 80%, loss_burst: 2}", "link: loss_burst is 2.0; allowed at a loss of 0.8: 1, or 4 and more"),
        ("{down: 5}", "link.down: 5 is no mapping; allowed keys: rate, delay"),
        ("{down: {changes: []}}", "link.down.changes is unknown"),
        ("{changes: {at: 1s}}", "link.changes: {'at': '1s'} is not a list"),
        ("{changes: [{rate: 5mbit}]}", "link.changes[0].at: None is not a time"),
        ("{changes: [{at: 1s}, {at: 2s, rate: x}]}", "link.changes[1].rate: 'x' is not a rate"),
        ("{changes: [{at: 1s, direction: left}]}", "link.changes[0].direction: 'left' is not up (near to far), down"),
        ("5mbit", "link: '5mbit' is no mapping"),
    ],
)
def test_errors_name_key_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(text)
    assert str(caught.value).startswith(message)


def test_changes_on_the_command_line() -> None:
    changes: list[dict[str, Any]] = parse_changes("10s rate=2mbit loss=1%, 20s rate=5mbit direction=up", "--changes")
    assert changes == [
        {"at": "10s", "rate": "2mbit", "loss": "1%"},
        {"at": "20s", "rate": "5mbit", "direction": "up"},
    ]
    assert parse_link({"changes": changes}, "link").changes[1].direction is Direction.UP


@pytest.mark.parametrize("text", ["10s", "10s rate", "10s rate=", "rate=5mbit"])
def test_changes_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a time and settings, such as 10s rate=2mbit"):
        parse_changes(text, "--changes")


def test_directions() -> None:
    assert [read_direction(word, "x") for word in ("both", "up", "down")] == [None, Direction.UP, Direction.DOWN]
