"""Points → an entry of a profile file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from policies.profile import Profile, TokenProfile
from policies.profile_file import Origin, Point, ProfileEntry
from proxy.profiling.model import Model, ProfilingError

INTERFERENCE = 1.15
"""A batch beside other instances over one alone: above that, a note says that the profile's peak rate is too high."""

NOISY = 0.3
"""Deviation over mean, in most batches: above that, a note says so."""

PAYLOAD_MATTERS = 1.15
"""The slowest payload over the fastest: above that, a note says so, since the profile knows one latency a batch."""


def entry(model: Model, points: Sequence[Point], origin: Origin, *, unit: str) -> ProfileEntry:
    """The profile of a model with the points that it was made of, and notes on what does not fit in it.

    `unit` says what payload sizes count.
    """
    by_kind: dict[str, list[Point]] = {}
    for point in points:
        by_kind.setdefault(point.kind, []).append(point)
    batches = by_kind["batch"]
    spread = [*batches, *by_kind.get("first_token", ())]
    tokens = _tokens(model, by_kind) if model.decoupled else None
    # Without dynamic batching, Triton runs each client's request as it comes.
    most = batches[-1].at if model.batched or tokens is not None else 1
    profile = Profile(
        tuple((point.at, point.median_s) for point in batches),
        deviation=math.sqrt(fmean((point.deviation_s / point.mean_s) ** 2 for point in spread)),
        p95_over_p50=max(1.0, fmean(point.p95_s / point.median_s for point in spread)),
        instances=model.instances,
        max_batch=most,
        batch_delay_s=model.batch_delay_s,
        preferred=tuple(size for size in model.preferred if size <= most),
        tokens=tokens,
    )
    notes = (*origin.notes, *_notes(model, by_kind, unit))
    return ProfileEntry(model.name, profile, replace(origin, server=model.server, notes=notes), tuple(points))


def _tokens(model: Model, by_kind: dict[str, list[Point]]) -> TokenProfile:
    firsts, steps = by_kind["first_token"], by_kind.get("next_token", [])
    if not steps:
        raise ProfilingError(f"{model.name}: its answers are too short to measure the time between two messages")
    base_s, token_s = _line([(point.at, point.median_s) for point in firsts])
    return TokenProfile(
        prefill_s_per_token=token_s,
        prefill_base_s=base_s,
        step_s=tuple((point.at, point.median_s) for point in steps),
        max_sequences=steps[-1].at,
    )


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Intercept and slope of the least squares line, neither below zero; of a single point, a level."""
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    if slope <= 0:
        return mean_y, 0.0
    if mean_y < slope * mean_x:  # through the origin then
        return 0.0, sum(x * y for x, y in points) / sum(x * x for x, _ in points)
    return mean_y - slope * mean_x, slope


def _notes(model: Model, by_kind: dict[str, list[Point]], unit: str) -> list[str]:
    notes = []
    batches, sizes, callers = by_kind["batch"], by_kind.get("size", []), by_kind.get("callers", [])
    spread = median(point.deviation_s / point.mean_s for point in batches)
    if spread > NOISY:
        notes.append(
            f"Noisy: latencies of the same batch spread by {spread:.0%} of their mean. Something else was using the "
            "machine; measure again when it is idle."
        )
    if callers and (slower := callers[-1].median_s / batches[-1].median_s) > INTERFERENCE:
        notes.append(
            f"{callers[-1].at} instances at once take {slower:.2g} times as long as one: they share what they run on, "
            "and the peak rate is lower than the profile says."
        )
    if sizes:
        fastest, slowest = (choose(point.median_s for point in sizes) for choose in (min, max))
        if slowest / fastest > PAYLOAD_MATTERS:
            notes.append(
                f"Latency depends on the payload, {slowest / fastest:.2g} times between sizes of {sizes[0].at} and "
                f"{sizes[-1].at} (each a {unit}); the profile has that of the middle one."
            )
    if model.decoupled and unit:
        notes.append(f"A token of the prompt (prefill_per_token) is a {unit}.")
    if model.cached:
        notes.append("The server's response cache is on for this model: a repeated request may have come from it.")
    if not model.batched and not model.decoupled and model.max_rows > 1:
        notes.append("Dynamic batching is off: requests of several clients are not answered together.")
    return notes
