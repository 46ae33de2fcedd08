"""What each kind of value takes and refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from proxy.config.sources import Node, Origin, read_yaml
from proxy.config.values import (
    Address,
    Available,
    Duration,
    Endpoint,
    File,
    Kind,
    Name,
    Number,
    OneOf,
    Refused,
    Registered,
    Size,
    Url,
)

FILE = Origin("headway.yaml", line=1, base=Path("/etc/headway"), typed=True)
VARIABLE = Origin("HEADWAY_X", base=Path("/home/me"))


def written(text: str) -> Node:
    """A plain value as the file has it."""
    node = read_yaml(text, FILE, [])
    assert node is not None
    return node


def given(text: str) -> Node:
    """A value from a variable."""
    return Node(text, VARIABLE, text=text)


SCHEDULER = Registered("scheduler", "schedulers", ("rr", "edf", "adaptive"))
POLICY = Registered("policy", "policies", ("dqn", "static", "round_robin"), with_argument=("static",))
TRAINED = Registered("policy", "policies", ("dqn", "static"), with_argument=("static",), with_file=("dqn",))

TAKEN = [
    (Duration(), "1s", 1.0),
    (Duration(), "1.8s", 1.8),
    (Duration(), "50ms", 0.05),
    (Duration(), "250us", 0.00025),
    (Duration(), "2m", 120.0),
    (Duration(), "1h", 3600.0),
    (Duration(above_zero=False), "0ms", 0.0),
    (Duration(above_zero=False), "0", 0.0),
    (Duration(none=True), "none", math.inf),
    (Size(), "256MiB", 268435456),
    (Size(), "64KiB", 65536),
    (Size(), "100kB", 100000),
    (Size(), "0.5MiB", 524288),
    (Size(), "1048576", 1048576),
    (Size(auto=True), "auto", None),
    (Size(at_least=1200, at_most=16383), "1200", 1200),
    (Number(), "0.5", 0.5),
    (Number(whole=True), "3", 3),
    (OneOf(("quic", "tcp")), "tcp", "tcp"),
    (SCHEDULER, "edf", "edf"),
    (POLICY, "static:llm-large", "static:llm-large"),
    (POLICY, "round_robin", "round_robin"),
    (Endpoint(), "gpu-host:4433", Address("gpu-host", 4433)),
    (Endpoint(), "10.0.0.7:65535", Address("10.0.0.7", 65535)),
    (Endpoint(), "'[::1]:4433'", Address("::1", 4433)),
    (Endpoint(any_port=True), "0.0.0.0:0", Address("0.0.0.0", 0)),
    (Url(), "http://localhost:8102/metrics", "http://localhost:8102/metrics"),
    (Name(), "llama-3.1_8b", "llama-3.1_8b"),
    (Name(), "7", "7"),
    (File(), "certs/ca.pem", Path("/etc/headway/certs/ca.pem")),
    (File(), "/var/ca.pem", Path("/var/ca.pem")),
]


@pytest.mark.parametrize(("kind", "text", "value"), TAKEN, ids=str)
def test_takes_from_the_file(kind: Kind, text: str, value: object) -> None:
    assert kind.read(written(text), Available()) == value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Number(), "0.5", 0.5),
        (Number(whole=True), "3", 3),
        (Size(), "1024", 1024),
        (Duration(), "5s", 5.0),
        (Endpoint(), "[::1]:4433", Address("::1", 4433)),
        (File(), "ca.pem", Path("/home/me/ca.pem")),
    ],
    ids=str,
)
def test_takes_from_a_variable(kind: Kind, text: str, value: object) -> None:
    assert kind.read(given(text), Available()) == value


REFUSED = [
    (Duration(), "1", "'1' has no unit"),
    (Duration(), "1.5", "'1.5' has no unit"),
    (Duration(), "0", "'0' has no unit"),
    (Duration(), "1 day", "'1 day' is not a duration"),
    (Duration(), "true", "'true' is not a duration"),
    (Duration(), "none", "'none' is not a duration"),
    (Duration(), "-1s", "'-1s' is negative"),
    (Duration(), "0s", "'0s' is zero"),
    (Duration(at_most_s=1.0), "1001ms", "'1001ms' is too long"),
    (Size(), "-1", "'-1' is negative"),
    (Size(), "0", "'0' is out of range"),
    (Size(), "2GiB", "'2GiB' is out of range"),
    (Size(), "1.5", "'1.5' is not a whole number of bytes"),
    (Size(), "64 kilobytes", "'64 kilobytes' is not a size"),
    (Size(), "auto", "'auto' is not a size"),
    (Size(), "true", "'true' is not a size"),
    (Number(), "-1", "'-1' is negative"),
    (Number(at_most=1.0), "1.01", "'1.01' is out of range"),
    (Number(), ".nan", "'.nan' is not a number"),
    (Number(), ".inf", "'.inf' is not a number"),
    (Number(), "yes", "'yes' is not a number"),
    (Number(), "'1'", "'1' is text, not a number"),
    (Number(whole=True), "1.5", "'1.5' is not a whole number"),
    (OneOf(("quic", "tcp")), "tpc", "'tpc' is none of them, did you mean 'tcp'?"),
    (OneOf(("quic", "tcp")), "1", "'1' is none of them"),
    (SCHEDULER, "edff", "'edff' is not a scheduler, did you mean 'edf'?"),
    (SCHEDULER, "adaptive", "'adaptive' is not available in this version"),
    (SCHEDULER, "1", "'1' is not a scheduler"),
    (POLICY, "dqn", "'dqn' is not available in this version"),
    (POLICY, "static", "'static': static is written static:<model>"),
    (POLICY, "round_robin:a", "'round_robin:a': round_robin takes no argument"),
    (POLICY, "'round_robin:'", "'round_robin:': round_robin takes no argument"),
    (Endpoint(), "gpu-host", "'gpu-host' has no port"),
    (Endpoint(), "':4433'", "':4433' has no host"),
    (Endpoint(), "gpu-host:http", "'gpu-host:http' has no usable port"),
    (Endpoint(), "gpu-host:0", "'gpu-host:0' has no usable port"),
    (Endpoint(), "gpu-host:65536", "'gpu-host:65536' has no usable port"),
    (Endpoint(), "'[::g]:1'", "'[::g]:1' is not an IPv6 address"),
    (Endpoint(), "'::1:4433'", "'::1:4433' has no usable host"),
    (Endpoint(), "gpu host:1", "'gpu host:1' has no usable host"),
    (Endpoint(), "8001", "'8001' is not an address"),
    (Url(), "localhost:4317", "'localhost:4317' is not a URL"),
    (Url(), "ftp://x", "'ftp://x' is not a URL"),
    (Url(), "'http://[::1'", "'http://[::1' is not a URL"),
    (Name(), "a b", "'a b' is not a name"),
    (Name(), "''", "'' is not a name"),
    (File(), "7", "'7' is not a path"),
    (File(), "''", "'' is not a path"),
    (File(), "~nobody-by-this-name/x", "'~nobody-by-this-name/x' is not a path"),
]


@pytest.mark.parametrize(("kind", "text", "what"), REFUSED, ids=str)
def test_refuses(kind: Kind, text: str, what: str) -> None:
    with pytest.raises(Refused) as refused:
        kind.read(written(text), Available(policies=("static", "round_robin")))
    assert refused.value.what == what


@pytest.mark.parametrize("kind", sorted({type(kind): kind for kind, *_ in TAKEN}.values(), key=repr), ids=str)
def test_refuses_mappings_and_lists(kind: Kind) -> None:
    for value, text in (({}, "a mapping"), ([], "a list")):
        with pytest.raises(Refused, match=text):
            kind.read(Node(value, FILE, text=text), Available())


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (Duration(), "a duration such as 50ms, 1.8s or 2m, more than 0"),
        (Duration(above_zero=False, at_most_s=1), "a duration such as 50ms, 1.8s or 2m, 0 or more, at most 1s"),
        (Size(at_least=1200, at_most=16383, auto=True), "auto, or a number of bytes, 1200 to 16383 bytes"),
        (Number(at_most=1.0), "a number from 0 to 1"),
        (Number(whole=True), "a whole number, 0 or more"),
        (OneOf(("quic", "tcp")), "quic, tcp"),
        (POLICY, "dqn, static:<model>, round_robin"),
        (Endpoint(any_port=True), "host:port, port 0 to 65535, IPv6 as [::1]:port in quotes"),
    ],
)
def test_says_what_is_allowed(kind: Kind, allowed: str) -> None:
    assert kind.allowed == allowed


def test_what_is_not_available_yet_lists_what_is() -> None:
    with pytest.raises(Refused) as refused:
        SCHEDULER.read(written("adaptive"), Available(schedulers=("rr", "edf")))
    assert refused.value.allowed == "rr, edf"


def test_a_policy_that_comes_out_of_a_file_may_name_it() -> None:
    available = Available(policies=("dqn", "static"))
    assert TRAINED.allowed == "dqn[:<file>], static:<model>"
    assert TRAINED.read(written("dqn"), available) == "dqn"
    node = written("dqn:trained/x.safetensors")
    assert TRAINED.read(node, available) == f"dqn:{node.origin.base.absolute()}/trained/x.safetensors"
    with pytest.raises(Refused):
        TRAINED.read(written("'dqn:'"), available)


def test_a_name_that_only_the_registry_knows_is_taken() -> None:
    assert SCHEDULER.read(written("lottery"), Available(schedulers=("rr", "lottery"))) == "lottery"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("gpu-host", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).is_loopback is loopback


def test_an_address_is_written_as_it_is_read() -> None:
    assert str(Address("gpu-host", 4433)) == "gpu-host:4433"
    assert str(Address("::1", 4433)) == "[::1]:4433"
