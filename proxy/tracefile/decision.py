"""What a policy had to choose from, as its event in the daemon's span tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy.telemetry import names
from proxy.tracefile.numbers import milliseconds
from proxy.tracefile.spans import Span, Value

_COLUMNS = {
    "score": names.DECISION_SCORES,
    "ready": names.DECISION_READY,
    "running": names.DECISION_RUNNING,
    "waiting": names.DECISION_WAITING,
    "finish ms": names.DECISION_FINISH,
    "slow-down": names.DECISION_SLOW_DOWN,
}
_FACTS = {
    "slack": (names.DECISION_SLACK, " ms"),
    "way back": (names.DECISION_WAY_BACK, " ms"),
    "arrivals": (names.DECISION_FAST_RATE, "/s in the last second"),
    "on average": (names.DECISION_SLOW_RATE, "/s"),
}
CHOSEN = "◀"


def decision_table(spans: Sequence[Span]) -> RenderableType | None:
    """The latest decision; None where there is none."""
    events = [event for span in spans for event in span.events if event.name == names.DECISION]
    if not events:
        return None
    told = max(events, key=lambda event: event.at_ns).attributes
    return Group(Text(_sentence(told)), *_candidates(told))


def _sentence(told: Mapping[str, Value]) -> str:
    facts = [f"{word} {_number(told[name])}{unit}" for word, (name, unit) in _FACTS.items() if name in told]
    parts = [f"{told.get(names.POLICY, 'a policy')} chose {told.get(names.DECISION_CHOICE, '?')}"]
    if reason := told.get(names.DECISION_REASON):
        parts.append(f": {reason}")
    if fallback := told.get(names.DECISION_FALLBACK):
        parts.append(f" (in the policy's place: {fallback})")
    return "".join(parts) + (f"; {', '.join(facts)}" if facts else "")


def _candidates(told: Mapping[str, Value]) -> list[RenderableType]:
    candidates = _items(told, names.DECISION_CANDIDATES)
    if not candidates:
        return []
    columns = {heading: _items(told, name) for heading, name in _COLUMNS.items()}
    columns = {heading: items for heading, items in columns.items() if items}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("candidate")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    choice = str(told.get(names.DECISION_CHOICE, ""))
    for place, candidate in enumerate(candidates):
        chosen = candidate.rpartition("@")[0] == choice
        cells = [items[place] if place < len(items) else "" for items in columns.values()]
        table.add_row(candidate, *cells, CHOSEN if chosen else "", style="bold" if chosen else None)
    scores = columns.get("score", [])
    if len(scores) == len(candidates) + 1:  # a trained policy gives shedding one, too
        rest = [""] * (len(columns) - 1)
        table.add_row("shed", scores[-1], *rest, CHOSEN if choice == "shed" else "")
    return [table]


def _number(value: Value) -> str:
    return milliseconds(value) if isinstance(value, float) else str(value)


def _items(told: Mapping[str, Value], name: str) -> list[str]:
    text = str(told.get(name, ""))
    return [item.strip() for item in text.split(",")] if text else []
