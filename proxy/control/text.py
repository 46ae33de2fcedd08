"""A status for people, in lines, and for programs, as what `json.dumps` takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from proxy.control.figures import counted, milliseconds, percent, span
from proxy.pb.headway.v1 import control_pb2 as pb


def status_lines(status: pb.Status, *, at: str) -> Iterator[str]:
    """The process on one line, each class, tunnel, Triton, route and candidate on another."""
    state = ", draining" if status.draining else ""
    if status.HasField("serving") and not (status.serving or status.draining):
        state = ", not serving: no backend answers"
    serving = f"listens on {status.listen}, {_calls(status.calls)}{state}"
    yield f"{status.role} at {at}: headway {status.version}, {serving}"
    yield f"  {status.sending.direction}: {', '.join(_sending(status.sending))}"
    for traffic_class in status.classes:
        yield f"  class {traffic_class.name}: {', '.join(_class(traffic_class))}"
    for tunnel in status.tunnels:
        yield f"  tunnel {'to' if status.role == 'proxy' else 'from'} {tunnel.peer}: {', '.join(_tunnel(tunnel))}"
    for triton in status.tritons:
        yield f"  triton {triton.name}: {'serving' if triton.serving else 'away'}"
    for route in status.routes:
        yield f"  route {route.route}: {', '.join(_route(route))}"
        for candidate in route.candidates:
            yield f"    {candidate.model} at {candidate.triton}: {', '.join(_candidate(candidate, route))}"


def status_object(status: pb.Status, *, at: str) -> dict[str, Any]:
    """The fields of `proto/headway/v1/control.proto` by their names there, and `at`.

    Unlike protobuf's own JSON, 64-bit numbers are numbers and fields keep their order. What is absent is left out.
    """
    return {"at": at, **_plain(status)}


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            plain[field.name] = dict(sorted(value.items()))
        elif field.is_repeated:
            plain[field.name] = [_value(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            plain[field.name] = _value(field, value)
    return plain


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _plain(value)
    return value if field.enum_type is None else field.enum_type.values_by_number[value].name


def _sending(sending: pb.Sending) -> Iterator[str]:
    if sending.scheduler:
        modes = [mode for mode in sending.queue.modes if mode != sending.scheduler]
        mode = f" ({', '.join(modes)})" if modes else ""
        yield f"{sending.scheduler}{mode} over {sending.transport}"
        yield sending.congestion_control
    else:
        yield f"over {sending.transport}"
        yield "which has no stream scheduler"
    if sending.HasField("queue"):
        queue = sending.queue
        yield f"{queue.streams_ready} of {_number(queue.streams, 'stream')} to be sent with {queue.pending_bytes} B"


def _class(status: pb.ClassStatus) -> Iterator[str]:
    if status.HasField("deadline_s"):
        yield f"deadline {span(status.deadline_s)}"
    yield f"{percent(status.on_time, counted(status))} on time of {_calls(counted(status))}"
    for name in ("late", "failed", "refused", "cancelled"):
        if count := getattr(status, name):
            yield f"{count} {name}"
    if status.missed:
        by_count = sorted(status.missed.items(), key=lambda item: (-item[1], item[0]))
        yield f"missed in {' '.join(f'{stage} {count}' for stage, count in by_count)}"
    latency = status.latency
    if latency.HasField("p50_s"):
        percentiles = f"p50 {milliseconds(latency.p50_s)} p99 {milliseconds(latency.p99_s)}"
        yield f"{percentiles} ({latency.calls} in the last {span(latency.window_s)})"


def _route(route: pb.RouteStatus) -> Iterator[str]:
    yield route.policy
    if route.waiting:
        yield f"{_number(route.waiting, 'request')} kept back with {route.waiting_bytes} B"
    if route.HasField("guard"):
        guard = route.guard
        yield _number(guard.decisions, "decision")
        if guard.unusable:
            yield f"greedy in its place ({guard.unusable})"
        elif guard.fallbacks:
            yield f"not by itself {' '.join(f'{cause} {count}' for cause, count in sorted(guard.fallbacks.items()))}"
    for one in route.classes:
        if one.requests:
            yield f"{one.name} {one.requests} of worth {one.worth / one.requests:.3f}"


def _candidate(candidate: pb.CandidateStatus, route: pb.RouteStatus) -> Iterator[str]:
    yield "ready" if candidate.ready else "NOT READY"
    yield f"quality {candidate.quality:g}"
    share = percent(candidate.requests, sum(other.requests for other in route.candidates))
    yield f"{_number(candidate.requests, 'request')} ({share})"
    yield f"{candidate.running} running"
    yield f"{candidate.waiting} waiting"
    if candidate.HasField("latency_s"):
        yield f"takes {milliseconds(candidate.latency_s)}"
    if candidate.slow_down > 1:
        yield f"slowed {candidate.slow_down:.1f} times"
    if candidate.failed:
        yield f"{candidate.failed} of {candidate.finished} failed"
    if candidate.HasField("gpu_load"):
        yield f"GPU {percent(candidate.gpu_load, 1)}"


def _tunnel(tunnel: pb.TunnelStatus) -> Iterator[str]:
    yield pb.TunnelState.Name(tunnel.state)
    if tunnel.reason:
        yield tunnel.reason
    if tunnel.state != pb.TunnelState.READY:
        return
    yield _calls(tunnel.calls)
    if tunnel.HasField("load"):
        if tunnel.load.draining:
            yield "the daemon drains"
        elif not tunnel.load.serving:
            yield "the daemon's backends are away"
    if tunnel.HasField("path"):
        path = tunnel.path
        yield f"rtt {path.rtt_s * 1e3:.1f} ms (least {path.min_rtt_s * 1e3:.1f})"
        if path.HasField("delivery_rate_bytes_s"):
            yield f"rate {path.delivery_rate_bytes_s * 8 / 1e6:.2f} Mbit/s"
        yield f"window {path.congestion_window_bytes} B, {path.bytes_in_flight} B in flight"
        yield f"datagrams up to {path.datagram_bytes} B"
        if path.sent_packets:
            yield f"lost {percent(path.lost_packets, path.sent_packets)} of {path.sent_packets} packets"
        if path.congestion_state:
            yield path.congestion_state
    if tunnel.HasField("queue") and tunnel.queue.streams_ready:
        yield f"{_number(tunnel.queue.streams_ready, 'stream')} to be sent with {tunnel.queue.pending_bytes} B"


def _calls(number: int) -> str:
    return _number(number, "call")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
