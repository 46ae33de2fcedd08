"""What is shown of each process: a line on it, then tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from proxy.control.figures import NOTHING, counted, megabits, milliseconds, percent, size, span
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.top.ends import End, Rates
from proxy.top.table import Cell, Column, Row, Table

GOOD, FAIR, BAD = "green", "yellow", "red"
GOOD_SHARE, FAIR_SHARE = 0.99, 0.9
"""From which share on time a class is shown as good, and as fair."""
SHARE_CELLS = 10
"""Length of the bar that shows how much of a route a candidate answers."""
MANY_LOST = 0.05
"""Share of packets lost from which it shows; a radio link loses a few percent (`ops/runbook.md`)."""

Item = Text | Table


@dataclass(frozen=True, slots=True)
class Pane:
    """One process."""

    heading: Text
    items: tuple[Item, ...] = ()


def pane(end: End, *, now: float, silent_s: float) -> Pane:
    """What is shown of a process at `now`. It is said to be silent when it has told nothing for `silent_s`."""
    status = end.status
    if status is None:
        why = (f"not reachable: {end.error}", BAD) if end.error else ("connecting …", "dim")
        return Pane(Text.assemble((end.name, "bold"), "  ", why))
    heading = _joined([Text(_name(end, status), "bold"), _state(status), *map(Text, _running(status))])
    if end.heard_at is not None and now - end.heard_at > silent_s:
        heading.append(f"  silent for {now - end.heard_at:.0f} s", BAD)
    return Pane(heading, tuple(_items(status, end.rates)))


def _items(status: pb.Status, rates: Rates | None) -> Iterator[Item]:
    if status.classes:
        yield _classes(status, rates)
    if status.tritons:
        yield Text("tritons  ") + _joined([_triton(one) for one in status.tritons])
    for route in status.routes:
        yield _route(route, rates)
        yield _candidates(route, rates)
    if status.tunnels:
        yield _tunnels(status, rates)


def _name(end: End, status: pb.Status) -> str:
    return end.name if " at " in end.name else f"{status.role} at {end.name}"


def _state(status: pb.Status) -> Text:
    if status.draining:
        return Text("draining", FAIR)
    if status.HasField("serving") and not status.serving:
        return Text("not serving", BAD)
    return Text("serving", GOOD)


def _running(status: pb.Status) -> Iterator[str]:
    yield f"{status.calls} under way"
    sending = status.sending
    if sending.scheduler:
        modes = " ".join(mode for mode in sending.queue.modes if mode != sending.scheduler)
        yield f"{sending.direction} {sending.scheduler}{f' ({modes})' if modes else ''} {sending.congestion_control}"
    else:
        yield f"{sending.direction} over {sending.transport}"
    if sending.HasField("queue"):
        queue = sending.queue
        yield f"{queue.streams_ready} of {queue.streams} streams wait, {size(queue.pending_bytes)}"
    yield f"listens on {status.listen}"
    yield f"headway {status.version}"


def _classes(status: pb.Status, rates: Rates | None) -> Table:
    columns = (
        Column("class", right=False),
        Column("deadline", 6),
        Column("calls/s", 1),
        Column("on time"),
        Column("p50", 2),
        Column("p99"),
        Column("in all", 5),
        Column("of them", 4),
        Column("late", 3),
        Column("failed", 3),
        Column("refused", 3),
    )
    return Table(columns, tuple(_class(one, rates) for one in status.classes), "missed in")


def _class(status: pb.ClassStatus, rates: Rates | None) -> Row:
    lately = pb.ClassStatus() if rates is None else rates.calls(status.name)
    latency = status.latency
    missed = sorted(status.missed.items(), key=lambda item: (-item[1], item[0]))
    return Row(
        (
            Text(status.name, "bold"),
            span(status.deadline_s) if status.HasField("deadline_s") else "none",
            NOTHING if rates is None else f"{counted(lately) / rates.seconds:.1f}",
            _share(lately),
            milliseconds(latency.p50_s) if latency.HasField("p50_s") else NOTHING,
            milliseconds(latency.p99_s) if latency.HasField("p99_s") else NOTHING,
            str(counted(status)),
            _share(status),
            str(status.late),
            str(status.failed),
            str(status.refused),
        ),
        ", ".join(f"{stage} {count}" for stage, count in missed),
    )


def _share(status: pb.ClassStatus) -> Text:
    whole = counted(status)
    if not whole:
        return Text(NOTHING)
    share = status.on_time / whole
    style = GOOD if share >= GOOD_SHARE else FAIR if share >= FAIR_SHARE else BAD
    return Text(percent(status.on_time, whole), style)


def _triton(status: pb.TritonStatus) -> Text:
    return Text(f"{status.name} serving") if status.serving else Text(f"{status.name} away", BAD)


def _route(route: pb.RouteStatus, rates: Rates | None) -> Text:
    parts = [Text.assemble("route ", (route.route, "bold"), f" by {route.policy}")]
    if rates is not None:
        requests, worth = rates.worth(route.route)
        if requests:
            parts.append(Text(f"effective accuracy {worth / requests:.3f}"))
    if route.waiting:
        parts.append(Text(f"{route.waiting} kept back, {size(route.waiting_bytes)}"))
    if route.HasField("guard"):
        fallbacks = sorted(route.guard.fallbacks.items())
        if route.guard.unusable:
            parts.append(Text(f"greedy in its place: {route.guard.unusable}", BAD))
        elif fallbacks:
            causes = ", ".join(f"{cause} {count}" for cause, count in fallbacks)
            parts.append(Text(f"of {route.guard.decisions} decisions not by itself: {causes}", FAIR))
    return _joined(parts)


def _candidates(route: pb.RouteStatus, rates: Rates | None) -> Table:
    columns = (
        Column("model", right=False),
        Column("on", 6, right=False),
        Column("quality", 5),
        Column("requests/s", 2),
        Column("share", 0),
        Column("", 4, right=False),
        Column("in all", 5),
        Column("running", 1),
        Column("waiting", 1),
        Column("takes", 2),
        Column("failed", 3),
        Column("GPU", 4),
    )
    lately = [0 if rates is None else rates.requests(route.route, one) for one in route.candidates]
    whole = sum(lately)
    rows = []
    for one, count in zip(route.candidates, lately, strict=True):
        rows.append(
            Row(
                (
                    Text(one.model, "bold" if one.ready else BAD),
                    one.triton,
                    f"{one.quality:g}",
                    NOTHING if rates is None else f"{count / rates.seconds:.1f}",
                    percent(count, whole),
                    Text("█" * round(SHARE_CELLS * count / whole) if whole else "", "blue"),
                    str(one.requests),
                    str(one.running),
                    str(one.waiting),
                    milliseconds(one.latency_s) if one.HasField("latency_s") else NOTHING,
                    str(one.failed),
                    percent(one.gpu_load, 1) if one.HasField("gpu_load") else NOTHING,
                ),
                _trouble(one),
            )
        )
    return Table(columns, tuple(rows))


def _trouble(candidate: pb.CandidateStatus) -> Text:
    if not candidate.ready:
        return Text("not ready", BAD)
    slow_down = candidate.slow_down
    return Text(f"{slow_down:.1f} times as slow as it should be", FAIR) if slow_down > 1.5 else Text()  # noqa: PLR2004


def _tunnels(status: pb.Status, rates: Rates | None) -> Table:
    columns = (
        Column(f"tunnel {'to' if status.role == 'proxy' else 'from'}", right=False),
        Column("calls", 3),
        Column("rtt"),
        Column("shortest", 5),
        Column("rate", 1),
        Column("lost", 2),
        Column("in flight", 4),
        Column("window", 6),
        Column("waits", 4),
    )
    return Table(columns, tuple(_tunnel(one, rates) for one in status.tunnels))


def _tunnel(tunnel: pb.TunnelStatus, rates: Rates | None) -> Row:
    ready = tunnel.state == pb.TunnelState.READY
    peer = Text(tunnel.peer, "bold" if ready else BAD)
    if not ready:
        return Row((peer,), Text(f"{pb.TunnelState.Name(tunnel.state)}: {tunnel.reason}", BAD))
    path = tunnel.path
    known = tunnel.HasField("path")
    cells: tuple[Cell, ...] = (
        peer,
        str(tunnel.calls),
        milliseconds(path.rtt_s) if known else NOTHING,
        milliseconds(path.min_rtt_s) if path.min_rtt_s else NOTHING,
        megabits(path.delivery_rate_bytes_s) if path.HasField("delivery_rate_bytes_s") else NOTHING,
        _lost(tunnel, rates) if known else NOTHING,
        size(path.bytes_in_flight) if known else NOTHING,
        size(path.congestion_window_bytes) if known else NOTHING,
        size(tunnel.queue.pending_bytes) if tunnel.HasField("queue") else NOTHING,
    )
    load = tunnel.load
    trouble = tunnel.reason
    if tunnel.HasField("load") and not trouble:
        trouble = "the daemon drains" if load.draining else "" if load.serving else "the daemon's backends are away"
    return Row(cells, Text(trouble, FAIR) if trouble else Text(path.congestion_state, "dim"))


def _lost(tunnel: pb.TunnelStatus, rates: Rates | None) -> Text:
    sent, lost = (0, 0) if rates is None else rates.packets(tunnel)
    return Text(percent(lost, sent), FAIR if sent and lost / sent > MANY_LOST else "")


def _joined(parts: list[Text]) -> Text:
    return Text("  ").join(part for part in parts if part)
