"""The summary as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from policies.evaluation.summary import best, rival
from policies.evaluation.tuned import TunedOn

Entry = Mapping[str, Any]

SHARES = "in %: score over the bound; of each class, requests on time; requests shed"


def by_workload(summary: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of each workload, in order."""
    grouped: dict[str, list[Entry]] = {}
    for entry in summary:
        grouped.setdefault(entry["workload"], []).append(entry)
    return grouped


def tables(summary: Sequence[Entry]) -> Iterator[RenderableType]:
    """One table a workload, and where there are several, one that compares each one's subject with the best other."""
    grouped = by_workload(summary)
    for workload, entries in grouped.items():
        title = Text.assemble((_title(workload, entries), "bold"), "\n", (SHARES, "dim"))
        yield Group(title, workload_table(entries), *_below(entries), "")
    found = {workload: pair for workload, entries in grouped.items() if (pair := rival(entries)) is not None}
    if len(found) > 1:
        yield overview(found)


def workload_table(entries: Sequence[Entry]) -> Table:
    """Policies by score, the best marked; shares in percent, as `SHARES` says."""
    classes = list(dict.fromkeys(name for entry in entries for name in entry["mean"]["by_class"]))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("policy", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    for heading in ("bound", *classes, "shed"):
        table.add_column(heading, justify="right", no_wrap=True)
    leader = best(entries)["policy"]
    for entry in sorted(entries, key=lambda entry: -entry["mean"]["score"]):
        mean = entry["mean"]
        leads = entry["policy"] == leader
        table.add_row(
            Text(f"{entry['policy']} *" if leads else entry["policy"]),
            with_interval(mean["score"], entry["ci95"]["score"]),
            _percent(mean["bound_share"]),
            *(_percent(mean["by_class"].get(kind, {}).get("on_time")) for kind in classes),
            _percent(mean["shed"]),
            style="bold" if leads else "",
        )
    return table


def overview(found: Mapping[str, tuple[Entry, Entry]]) -> Table:
    """Of each workload: the learned policy (else the best) against the best of the others, figures side by side."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title_justify="left", caption_justify="left")
    table.title = "Against the best other policy, seed by seed"
    table.caption = "difference of the score ± half its 95 % interval; on time: the class of the greatest weight"
    table.add_column("workload", no_wrap=True)
    table.add_column("policy - best other")
    for heading in ("difference", "verdict", "% of bound", "% on time"):
        table.add_column(heading, no_wrap=True)
    for workload, (subject, other) in found.items():
        difference = subject["ahead_of"][other["policy"]]["score"]
        mine, its = subject["mean"], other["mean"]
        heaviest = max(mine["by_class"], key=lambda name: mine["by_class"][name]["weight"], default="")
        table.add_row(
            workload,
            Text(f"{subject['policy']} - {other['policy']}"),
            with_interval(difference["mean"], difference["ci95"], sign="+"),
            verdict(difference),
            f"{_percent(mine['bound_share'])}:{_percent(its['bound_share'])}",
            ":".join(_percent(one["by_class"].get(heaviest, {}).get("on_time")) for one in (mine, its)),
        )
    return table


def tuned_table(tuned: Mapping[str, TunedOn]) -> Table:
    """What a search found, by workload and policy."""
    table = Table("workload", "policy", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("score", justify="right")
    table.add_column("knobs")
    for workload, on in tuned.items():
        for policy, found in sorted(on.policies.items(), key=lambda item: -item[1].score):
            table.add_row(workload, policy, f"{found.score:.3f}", Text(knobs_text(found.knobs)))
        table.add_section()
    return table


def verdict(difference: Entry) -> str:
    """`ahead` or `behind` outside the 95 % interval, `equal` inside; a single seed says nothing."""
    mean, half = difference["mean"], difference["ci95"]
    if half is None:
        return "one seed"
    if abs(mean) <= half:
        return "equal"
    return "ahead" if mean > 0 else "behind"


def with_interval(mean: float, half: float | None, *, sign: str = "") -> str:
    """Such as `0.842 ± 0.003`."""
    text = f"{mean:{sign}.3f}"
    return text if half is None else f"{text} ± {half:.3f}"


def knobs_text(knobs: Mapping[str, Any]) -> str:
    """Such as `margin_sigmas 8, hold_s 1`; a table as `large to 4.2/s, small`."""
    return ", ".join(
        f"{name} {value:g}"
        if isinstance(value, int | float)
        else _rows(value)
        if name == "table"
        else f"{name} {value}"
        for name, value in knobs.items()
    )


def _rows(table: Sequence[tuple[float | None, str]]) -> str:
    return ", ".join(model if rate is None or math.isinf(rate) else f"{model} to {rate:.3g}/s" for rate, model in table)


def _title(workload: str, entries: Sequence[Entry]) -> str:
    entry = entries[0]
    seeds = f"{entry['seeds']} seed{'s' if entry['seeds'] > 1 else ''}"
    bound = entry["mean"]["bound"]
    if bound is None:
        return f"{workload}: {seeds}"
    exact = entry["exact_bound"]
    kind = "exact" if exact == entry["seeds"] else "relaxed" if not exact else f"exact for {exact}, else relaxed"
    return f"{workload}: {seeds}, clairvoyant bound {with_interval(bound, entry['ci95']['bound'])} ({kind})"


def _below(entries: Sequence[Entry]) -> Iterator[Text]:
    """The paired difference, and the knobs that were set."""
    found = rival(entries)
    if found is not None:
        subject, other = found
        ahead = subject["ahead_of"][other["policy"]]
        score = with_interval(ahead["score"]["mean"], ahead["score"]["ci95"], sign="+")
        yield Text(f"{subject['policy']} - {other['policy']}, seed by seed: {score} ({verdict(ahead['score'])})")
        classes = (f"{name} {100 * of['mean']:+.1f}" for name, of in ahead["on_time_by_class"].items())
        yield Text(f"  on time, percentage points: {', '.join(classes)}")
    knobs = [f"{entry['policy']}: {knobs_text(entry['knobs'])}" for entry in entries if entry["knobs"]]
    if knobs:
        yield Text(f"knobs, tuned on this workload: {'; '.join(knobs)}", style="dim")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
