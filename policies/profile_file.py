"""YAML file ⇄ profiles: what `headway profile` writes, and workloads and the daemon read.

    format: 1
    model: llm-large
    origin: {kind: measured, at: '2026-11-22T20:00:00+00:00', command: …, server: triton 2.51.0, cpu: …, cores: 2}
    latency: {1: 0.054, 8: 0.121}    # median seconds of a batch, from its start to its answers
    deviation: 0.04
    p95_over_p50: 1.08
    instances: 1
    max_batch: 8
    batch_delay: 0.001
    points: [{kind: batch, at: 1, median: 0.054, mean: 0.055, deviation: 0.002, p95: 0.058, samples: 40}, …]

Keys are those of `policies.profile.Profile`, in seconds; a model that streams tokens has `tokens` besides. A file may
hold several models: `format: 1` and `models`, a list of the above. Every function raises `WorkloadError`, which names
the file and the key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policies.profile import Profile, TokenProfile
from policies.simulation.keys import Keys, WorkloadError

FORMAT = 1

SHIPPED = Path(__file__).parent / "profiles"

Z_P95 = 1.645
"""95th percentile of the standard normal."""

PROFILE_KEYS = (
    *("instances", "max_batch", "latency", "deviation", "p95_over_p50"),
    *("batch_delay", "preferred", "tokens"),
)
"""The keys that `profile_of` reads."""

POINT_KINDS = ("batch", "size", "callers", "first_token", "next_token")
KINDS = ("measured", "computed")

_ENTRY = ("model", "origin", *PROFILE_KEYS, "points")
_ORIGIN = ("kind", "at", "command", "server", "cpu", "cores", "gpus", "notes", "sources")
_POINT = ("kind", "at", "median", "mean", "deviation", "p95", "samples")

_DIGITS = 5
"""Significant, of the seconds in a file: a measurement is not repeatable to a tenth of that."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one setting."""

    kind: str
    """`batch`: a request of that many rows; `size`: one row with a payload of that many bytes or elements; `callers`:
    that many requests of one row at once; `first_token`: a prompt of that size in one stream; `next_token`: between two
    messages of that many streams.
    """
    at: int
    """The setting, by kind."""
    median_s: float
    mean_s: float
    deviation_s: float
    p95_s: float
    samples: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the numbers come from."""

    kind: str
    """`measured` on a server, or `computed`."""
    at: str
    """When, ISO 8601."""
    command: str
    """What made the file."""
    server: str = ""
    """Program and version that was measured."""
    cpu: str = ""
    cores: int = 0
    gpus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""
    sources: tuple[str, ...] = ()
    """Where published figures were taken from."""


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One model of a file."""

    model: str
    profile: Profile
    origin: Origin | None = None
    points: tuple[Point, ...] = ()


def shipped_profiles() -> list[Path]:
    """The files that come with headway."""
    return sorted(SHIPPED.glob("*.yaml"))


def profile_path(name: str, directory: Path) -> Path:
    """The file that a name means: a shipped one by its bare name, any other from `directory`."""
    shipped = SHIPPED / f"{name}.yaml"
    return shipped if "/" not in name and shipped.is_file() else directory / name


def read_profile(path: Path, model: str) -> Profile:
    """The profile in a file. Where the file has several models, that of `model`; a single one serves any."""
    entries = read_entries(path)
    if len(entries) == 1:
        return entries[0].profile
    for entry in entries:
        if entry.model == model:
            return entry.profile
    raise WorkloadError(f"{path}: models: none is called {model}, only {', '.join(entry.model for entry in entries)}")


def read_entries(path: Path) -> tuple[ProfileEntry, ...]:
    """All that a file has; at least one entry."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        shipped = ", ".join(file.stem for file in shipped_profiles())
        raise WorkloadError(f"{path}: there is no such file; profiles that come with headway: {shipped}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WorkloadError(f"{path}: {error}") from error
    keys = Keys(content, path, "", None)
    if keys.get("format") != FORMAT:
        raise keys.error("format", f"{keys.get('format')!r} is not {FORMAT}, the one that this version reads")
    if "models" not in keys:
        return (_entry(Keys(content, path, "", ("format", *_ENTRY))),)
    keys = Keys(content, path, "", ("format", "models"))
    entries = tuple(_entry(Keys(item, path, where, _ENTRY)) for where, item in keys.items("models"))
    names = [entry.model for entry in entries]
    if not entries or len(names) != len(set(names)):
        raise keys.error("models", "a list of at least one, each with another model")
    return entries


def profile_of(keys: Keys) -> Profile:
    """The profile that a mapping with `PROFILE_KEYS` describes, in a workload or in a file of its own."""
    deviation = keys.number("deviation", 0.0, at_least=0)
    lognormal = math.exp(Z_P95 * math.sqrt(math.log1p(deviation**2)))
    preferred = keys.numbers("preferred", at_least=1) if "preferred" in keys else ()
    try:
        return Profile(
            keys.table("latency"),
            deviation=deviation,
            p95_over_p50=keys.number("p95_over_p50", lognormal, at_least=1),
            instances=keys.whole("instances", 1, at_least=1),
            max_batch=keys.whole("max_batch", 0, at_least=0),
            batch_delay_s=keys.number("batch_delay", 0.0, at_least=0),
            preferred=tuple(int(size) for size in preferred),
            tokens=_tokens(keys) if "tokens" in keys else None,
        )
    except ValueError as error:
        raise keys.error("", str(error)) from error


def write_entries(path: Path, entries: Sequence[ProfileEntry]) -> None:
    """Write one or more models to a file. Raises OSError."""
    path.write_text(to_yaml(entries), encoding="utf-8")


def to_yaml(entries: Sequence[ProfileEntry]) -> str:
    """The text of a file; seconds have five significant digits."""
    documents = [to_mapping(entry) for entry in entries]
    content = documents[0] if len(documents) == 1 else {"models": documents}
    return yaml.dump(
        {"format": FORMAT, **content},
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        width=110,
        allow_unicode=True,
    )


def to_mapping(entry: ProfileEntry) -> dict[str, Any]:
    """An entry as it stands in a file, and in what `--json` prints."""
    profile = entry.profile
    mapping: dict[str, Any] = {"model": entry.model}
    if entry.origin is not None:
        mapping["origin"] = _origin_mapping(entry.origin)
    mapping["latency"] = {size: _rounded(seconds) for size, seconds in profile.latency_s}
    mapping |= {"deviation": _rounded(profile.deviation), "p95_over_p50": _rounded(profile.p95_over_p50)}
    mapping |= {"instances": profile.instances, "max_batch": profile.max_batch}
    mapping["batch_delay"] = _rounded(profile.batch_delay_s)
    if profile.preferred:
        mapping["preferred"] = list(profile.preferred)
    if (tokens := profile.tokens) is not None:
        mapping["tokens"] = {
            "prefill": _rounded(tokens.prefill_base_s),
            "prefill_per_token": _rounded(tokens.prefill_s_per_token),
            "step": {count: _rounded(seconds) for count, seconds in tokens.step_s},
            "max_sequences": tokens.max_sequences,
        }
    if entry.points:
        mapping["points"] = [_point_mapping(point) for point in entry.points]
    return mapping


def _origin_mapping(origin: Origin) -> dict[str, Any]:
    values = ((key, getattr(origin, key)) for key in _ORIGIN)
    return {key: _Lines(value) if isinstance(value, tuple) else value for key, value in values if value}


def _point_mapping(point: Point) -> dict[str, Any]:
    seconds = {key: _rounded(getattr(point, f"{key}_s")) for key in ("median", "mean", "deviation", "p95")}
    return {"kind": point.kind, "at": point.at, **seconds, "samples": point.samples}


def _entry(keys: Keys) -> ProfileEntry:
    return ProfileEntry(
        keys.word("model"),
        profile_of(keys),
        _origin(keys.inside("origin", _ORIGIN)) if "origin" in keys else None,
        tuple(_point(Keys(item, keys.file, where, _POINT)) for where, item in keys.items("points")),
    )


def _origin(keys: Keys) -> Origin:
    return Origin(
        kind=keys.word("kind", None, KINDS),
        at=keys.word("at"),
        command=keys.word("command"),
        server=keys.word("server") if "server" in keys else "",
        cpu=keys.word("cpu") if "cpu" in keys else "",
        cores=keys.whole("cores", 0, at_least=0),
        gpus=tuple(str(item) for _, item in keys.items("gpus")),
        notes=tuple(str(item) for _, item in keys.items("notes")),
        sources=tuple(str(item) for _, item in keys.items("sources")),
    )


def _point(keys: Keys) -> Point:
    return Point(
        kind=keys.word("kind", None, POINT_KINDS),
        at=int(keys.number("at", at_least=0)),
        median_s=keys.number("median", at_least=0),
        mean_s=keys.number("mean", at_least=0),
        deviation_s=keys.number("deviation", at_least=0),
        p95_s=keys.number("p95", at_least=0),
        samples=int(keys.number("samples", at_least=1)),
    )


def _tokens(keys: Keys) -> TokenProfile:
    tokens = keys.inside("tokens", ("prefill_per_token", "prefill", "step", "max_sequences"))
    step = tokens.table("step")
    return TokenProfile(
        prefill_s_per_token=tokens.number("prefill_per_token", 0.0, at_least=0),
        prefill_base_s=tokens.number("prefill", 0.0, at_least=0),
        step_s=step,
        max_sequences=tokens.whole("max_sequences", step[-1][0], at_least=1),
    )


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


class _Lines(list[str]):
    """A list with a line for each item."""


class _Dumper(yaml.SafeDumper):
    """Writes small numbers without an exponent, and `_Lines`."""


def _represent_float(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    text = f"{number:.10f}".rstrip("0") if 1e-9 < abs(number) < 1 else repr(number)  # noqa: PLR2004
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _represent_lines(dumper: _Dumper, lines: _Lines) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", lines, flow_style=False)


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(_Lines, _represent_lines)
