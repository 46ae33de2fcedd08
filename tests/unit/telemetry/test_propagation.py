import pytest

from proxy.telemetry.propagation import TraceContext, extract, inject, withhold
from proxy.tunnel.exchange import Metadata

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BINARY = bytes.fromhex("00004bf92f3577b34da6a3ce929d0e0e47360100f067aa0ba902b70201")


def own(state: str = "") -> TraceContext:
    return TraceContext("0" * 31 + "a", "0" * 15 + "b", 1, state)


@pytest.mark.parametrize(
    ("metadata", "flags"),
    [
        ((("traceparent", VALID),), 1),
        ((("traceparent", VALID[:-2] + "00"),), 0),
        ((("traceparent", f" {VALID}\t"),), 1),
        # A later version may say more, W3C section 2.2.1.
        ((("traceparent", "01" + VALID[2:] + "-what-the-future-will-be-like"),), 1),
        ((("grpc-trace-bin", BINARY),), 1),
        ((("traceparent", VALID), ("grpc-trace-bin", b"nonsense")), 1),
    ],
)
def test_the_callers_span_is_found(metadata: Metadata, flags: int) -> None:
    context = extract((("x-traffic-class", "realtime"), *metadata))
    assert context == TraceContext(TRACE_ID, SPAN_ID, flags)


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("traceparent", ""),),
        (("traceparent", VALID[:-1]),),
        (("traceparent", VALID + "0"),),
        (("traceparent", VALID + "-more"),),
        (("traceparent", "ff" + VALID[2:]),),
        (("traceparent", VALID.upper()),),
        (("traceparent", VALID.replace("4bf92f35", "4bf92f3g")),),
        (("traceparent", VALID + "\n"),),
        (("traceparent", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"),),
        (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01"),),
        (("traceparent", "01" + VALID[2:] + "-" + "a" * 1_000_000),),
        (("traceparent", VALID), ("traceparent", VALID)),
        (("traceparent", VALID[:-1]), ("grpc-trace-bin", BINARY)),
        (("grpc-trace-bin", b""),),
        (("grpc-trace-bin", BINARY[:-1]),),
        (("grpc-trace-bin", b"\x01" + BINARY[1:]),),
        (("grpc-trace-bin", BINARY[:18] + b"\x07" + BINARY[19:]),),
        (("grpc-trace-bin", b"\x00\x00" + bytes(16) + BINARY[18:]),),
    ],
    ids=str,
)
def test_a_context_that_breaks_the_rules_is_none(metadata: Metadata) -> None:
    assert extract(metadata) is None


def test_trace_state_comes_along() -> None:
    context = extract((("tracestate", "congo=t61,"), ("traceparent", VALID), ("tracestate", "rojo=00f067")))
    assert context is not None
    assert context.state == "congo=t61,rojo=00f067"


@pytest.mark.parametrize("state", ["=", "a=" + "b" * 511, "A=1"])
def test_a_bad_trace_state_is_left_out(state: str) -> None:
    context = extract((("traceparent", VALID), ("tracestate", state)))
    assert context is not None
    assert not context.state


def test_our_context_replaces_the_callers_and_the_rest_passes() -> None:
    before: Metadata = (
        ("x-one", "1"),
        ("traceparent", VALID),
        ("traceparent", "second"),
        ("tracestate", "congo=t61"),
        ("baggage", "user=7"),
        ("x-two-bin", b"\x00\xff"),
    )
    assert inject(before, own()) == (
        ("x-one", "1"),
        ("baggage", "user=7"),
        ("x-two-bin", b"\x00\xff"),
        ("traceparent", "00-0000000000000000000000000000000a-000000000000000b-01"),
    )


def test_trace_state_is_passed_on() -> None:
    metadata = inject((), own("congo=t61"))
    assert metadata[1] == ("tracestate", "congo=t61")


def test_the_binary_header_is_written_where_the_caller_used_it() -> None:
    metadata = inject((("grpc-trace-bin", BINARY),), own())
    assert metadata[1] == ("grpc-trace-bin", bytes.fromhex("0000" + "0" * 31 + "a" + "01" + "0" * 15 + "b" + "0201"))
    assert extract(metadata[1:]) is not None


def test_baggage_beyond_what_must_be_carried_is_dropped() -> None:
    assert ("baggage", "a" * 8192) in inject((("baggage", "a" * 8192),), own())
    assert [key for key, _ in inject((("baggage", "a" * 1_000_000),), own())] == ["traceparent"]


def test_several_baggage_headers_are_one_list() -> None:
    sizes = (4000, 5000, 4192, 1)
    injected = inject(tuple(("baggage", "a" * size) for size in sizes), own())
    assert [len(value) for key, value in injected if key == "baggage"] == [4000, 4192]


def test_a_context_may_be_withheld() -> None:
    before: Metadata = (("traceparent", VALID), ("x-one", "1"), ("tracestate", "congo=t61"), ("grpc-trace-bin", BINARY))
    assert withhold(before) == (("x-one", "1"),)
    assert withhold((("x-one", "1"),)) == (("x-one", "1"),)
