"""A status for people, in lines, and for programs, as what `json.dumps` takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from proxy.pb.headway.v1 import control_pb2 as pb


def status_lines(status: pb.Status, *, at: str) -> Iterator[str]:
    """The process on one line, each tunnel and each route on another."""
    draining = ", draining" if status.draining else ""
    serving = f"listens on {status.listen}, {_calls(status.calls)}{draining}"
    yield f"{status.role} at {at}: headway {status.version}, {serving}"
    sending = status.sending
    if sending.scheduler:
        yield f"  {sending.direction}: {sending.scheduler} over {sending.transport}, {sending.congestion_control}"
    else:
        yield f"  {sending.direction}: over {sending.transport}, which has no stream scheduler"
    for tunnel in status.tunnels:
        yield f"  tunnel {'to' if status.role == 'proxy' else 'from'} {tunnel.peer}: {', '.join(_tunnel(tunnel))}"
    for route in status.routes:
        yield f"  route {route.route}: {route.policy}"


def status_object(status: pb.Status, *, at: str) -> dict[str, Any]:
    """The fields of `proto/headway/v1/control.proto` by their names there, and `at`.

    Unlike protobuf's own JSON, 64-bit numbers are numbers and fields keep their order. What is absent is left out.
    """
    return {"at": at, **_plain(status)}


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            plain[field.name] = [_value(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            plain[field.name] = _value(field, value)
    return plain


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _plain(value)
    return value if field.enum_type is None else field.enum_type.values_by_number[value].name


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


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"
