from __future__ import annotations

from proxy.daemon import trailers
from proxy.daemon.routes import Backend, CandidateSettings, Routes, RouteSettings
from proxy.errors import CallError, Code
from proxy.testing.calls import MemoryCarrier, hanging
from proxy.tunnel.exchange import CallStatus

BACKENDS = {name: Backend(name, f"{name}:8001", MemoryCarrier(hanging())) for name in "ab"}
SETTINGS = RouteSettings(
    "llm", "round_robin", (CandidateSettings("a", "large", 0.7), CandidateSettings("b", "large", 0.7))
)


def test_who_answered() -> None:
    (route,) = Routes([SETTINGS], BACKENDS)
    assert trailers.chosen(route, route.candidates[1]) == (
        ("x-headway-model", "large"),
        ("x-headway-instance", "b"),
        ("x-headway-policy", "round_robin"),
    )


def test_several_in_a_stream_are_named_once_each() -> None:
    (route,) = Routes([SETTINGS], BACKENDS)
    assert trailers.chosen_in_stream((route, candidate) for candidate in route.candidates) == (
        ("x-headway-model", "large"),
        ("x-headway-instance", "a, b"),
        ("x-headway-policy", "round_robin"),
    )
    assert trailers.chosen_in_stream([]) == ()


def test_a_refusal_says_why_where_there_is_a_reason() -> None:
    assert trailers.refusal(CallError(Code.UNAVAILABLE, "away", reason="rejected-no-backend")) == CallStatus(
        Code.UNAVAILABLE, "away", (("x-headway-dropped-reason", "rejected-no-backend"),)
    )
    assert trailers.refusal(CallError(Code.UNIMPLEMENTED, "no")) == CallStatus(Code.UNIMPLEMENTED, "no")
