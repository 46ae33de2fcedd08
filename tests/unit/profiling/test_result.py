from __future__ import annotations

from dataclasses import replace

import pytest

from policies.profile_file import Origin, Point
from proxy.profiling.model import Model, ProfilingError
from proxy.profiling.result import entry

ORIGIN = Origin("measured", "2026-05-01", "headway profile", notes=("First.",))
MODEL = Model(
    "m", (), max_rows=8, batched=True, preferred=(4, 16), batch_delay_s=0.001, instances=2, server="triton 2.51.0"
)


def at(kind: str, place: int, seconds: float, *, deviation: float = 0.0, p95: float = 1.0) -> Point:
    return Point(kind, place, seconds, seconds, deviation * seconds, p95 * seconds, 20)


BATCHES = [at("batch", 1, 0.1, deviation=0.1, p95=1.4), at("batch", 8, 0.2, deviation=0.4, p95=1.2)]


def test_a_profile_from_its_points() -> None:
    points = [*BATCHES, at("size", 64, 0.1), at("size", 128, 0.11), at("callers", 2, 0.21)]
    made = entry(MODEL, points, ORIGIN, unit="byte of TEXT")
    profile = made.profile
    assert (made.model, made.points) == ("m", tuple(points))
    assert profile.latency_s == ((1, 0.1), (8, 0.2))
    assert (profile.instances, profile.max_batch, profile.batch_delay_s) == (2, 8, 0.001)
    assert profile.preferred == (4,)
    assert profile.deviation == pytest.approx((0.5 * (0.1**2 + 0.4**2)) ** 0.5)
    assert profile.p95_over_p50 == pytest.approx(1.3)
    assert profile.tokens is None
    assert made.origin == replace(ORIGIN, server="triton 2.51.0")


def test_without_dynamic_batching_a_batch_is_one_request() -> None:
    made = entry(replace(MODEL, batched=False), BATCHES, ORIGIN, unit="")
    assert (made.profile.max_batch, made.profile.preferred) == (1, ())
    assert made.origin is not None
    assert made.origin.notes[1:] == ("Dynamic batching is off: requests of several clients are not answered together.",)


def test_notes_say_what_does_not_fit_in_a_profile() -> None:
    points = [*BATCHES, at("size", 10, 0.1), at("size", 99, 0.3), at("callers", 2, 0.3)]
    made = entry(replace(MODEL, cached=True), points, ORIGIN, unit="byte of TEXT")
    assert made.origin is not None
    first, instances, payload, cache = made.origin.notes
    assert first == "First."
    assert instances.startswith("2 instances at once take 1.5 times as long as one")
    assert payload.startswith(
        "Latency depends on the payload, 3 times between sizes of 10 and 99 (each a byte of TEXT)"
    )
    assert "response cache is on" in cache


def test_a_note_says_that_the_machine_was_busy() -> None:
    made = entry(MODEL, [at("batch", 1, 0.1, deviation=0.5), *BATCHES[1:]], ORIGIN, unit="")
    assert made.origin is not None
    assert made.origin.notes[1].startswith("Noisy: latencies of the same batch spread by 45% of their mean.")


def tokens(*firsts: tuple[int, float]) -> tuple[float, float]:
    model = replace(MODEL, decoupled=True, batched=False)
    points = [*(at("first_token", place, seconds) for place, seconds in firsts), at("next_token", 1, 0.01)]
    points += [at("next_token", 4, 0.02), *BATCHES]
    made = entry(model, points, ORIGIN, unit="byte of TEXT")
    assert made.profile.tokens is not None
    assert made.profile.tokens.step_s == ((1, 0.01), (4, 0.02))
    assert (made.profile.tokens.max_sequences, made.profile.max_batch) == (4, 8)
    assert made.origin is not None
    assert made.origin.notes[-1] == "A token of the prompt (prefill_per_token) is a byte of TEXT."
    return made.profile.tokens.prefill_base_s, made.profile.tokens.prefill_s_per_token


def test_first_messages_by_prompt_size_lie_on_a_line() -> None:
    assert tokens((10, 0.3), (20, 0.4), (40, 0.6)) == pytest.approx((0.2, 0.01))


def test_the_line_is_never_below_zero() -> None:
    assert tokens((10, 0.1)) == (0.1, 0.0)
    assert tokens((10, 0.4), (20, 0.2)) == pytest.approx((0.3, 0.0))
    assert tokens((10, 0.01), (20, 0.2)) == pytest.approx((0.0, (10 * 0.01 + 20 * 0.2) / 500))


def test_a_stream_without_two_messages_at_a_time_has_no_profile() -> None:
    with pytest.raises(ProfilingError, match="m: its answers are too short"):
        entry(replace(MODEL, decoupled=True), [*BATCHES, at("first_token", 1, 0.1)], ORIGIN, unit="")
