"""The tunnel's own fields as gRPC metadata: what `proxy.tunnel.headers` writes into HTTP/3 header sections."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.tunnel.exchange import CallHead, Metadata, MetadataValue
from proxy.tunnel.headers import TunnelRequest, decode_deadline, encode_tunnel_fields
from proxy.tunnel.metadata import end_to_end
from proxy.tunnel.timeouts import LONGEST_TIMEOUT_S


def write_fields(head: CallHead, *, token: bytes) -> Metadata:
    """Metadata that go in front of a call's own."""
    return tuple((key.decode(), value.decode("latin-1")) for key, value in encode_tunnel_fields(head, token=token))


def read_fields(
    path: str, metadata: Iterable[tuple[str, MetadataValue]], *, remaining_s: float | None
) -> TunnelRequest:
    """A request as it came. `remaining_s` is what is left of its gRPC deadline."""
    fields: dict[str, str] = {}
    rest: list[tuple[str, MetadataValue]] = []
    for key, value in metadata:
        if key.startswith("headway-") and isinstance(value, str):
            fields[key] = value
        else:
            rest.append((key, value))
    deadline = fields.get("headway-deadline")
    return TunnelRequest(
        path=path,
        metadata=end_to_end(rest),
        traffic_class=fields.get("headway-class", ""),
        deadline=None if deadline is None else decode_deadline(deadline.encode()),
        timeout_s=None if remaining_s is None or remaining_s > LONGEST_TIMEOUT_S else remaining_s,
        token=fields.get("headway-token", "").encode("latin-1"),
        client=fields.get("headway-client", ""),
        encoding="identity",
    )
