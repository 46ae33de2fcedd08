"""A call's head, its answer's headers and its status as HTTP/3 header sections.

The mapping is gRPC's to HTTP/2 (PROTOCOL-HTTP2.md), which HTTP/3 takes over section by section. On top of it come
fields of the tunnel's own, all optional, so that any gRPC-over-HTTP/3 peer can be at the other end:

- `headway-class`: the traffic class;
- `headway-deadline`: `TARGET` or `TARGET;limit=LIMIT`, microseconds on the proxy's monotonic clock. Absolute, because
  what is left of a deadline changes while its own header section waits to be sent;
- `headway-token`: shows that the proxy may come in;
- `headway-client`: the address of the client, as the proxy sees it;
- `headway-stages`, at the end of the answer: when the call passed the daemon's stations (`proxy.tunnel.far_times`);
- `priority`: the class's urgency (RFC 9218 section 4.1), for peers that know nothing of classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from policies.traffic import NO_DEADLINE, Deadline
from proxy.errors import Code, TunnelProtocolError
from proxy.tunnel.exchange import CallHead, CallStatus, Metadata
from proxy.tunnel.far_times import STAGES_KEY
from proxy.tunnel.messages import KNOWN_ENCODINGS
from proxy.tunnel.metadata import Headers, decode_message, decode_metadata, encode_message, encode_metadata
from proxy.tunnel.timeouts import LONGEST_TIMEOUT_S, format_timeout, parse_timeout

STAGES_FIELD = STAGES_KEY.encode()
_ACCEPT_ENCODING = ",".join(KNOWN_ENCODINGS).encode()
_RESPONSE_HEAD: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_LATEST_AT = 1e12
"""A later deadline (a client may ask for 1e308 ms) is written as this one, which no clock reaches in 31 000 years."""
_CODES = {b"%d" % code: code for code in Code}
_HTTP_STATUS: dict[str, Code] = {
    "400": Code.INTERNAL,
    "401": Code.UNAUTHENTICATED,
    "403": Code.PERMISSION_DENIED,
    "404": Code.UNIMPLEMENTED,
    "429": Code.UNAVAILABLE,
    "502": Code.UNAVAILABLE,
    "503": Code.UNAVAILABLE,
    "504": Code.UNAVAILABLE,
}
"""What an HTTP status without `grpc-status` means (gRPC's http-grpc-status-mapping.md); any other: UNKNOWN."""


class TunnelRequest(NamedTuple):
    """A request's header section, read. Deadlines are still on the clock they were written on."""

    path: str
    metadata: Metadata
    traffic_class: str
    deadline: Deadline | None
    """On the proxy's clock; None from a peer that sends none."""
    timeout_s: float | None
    """What `grpc-timeout` says, seconds from the sending."""
    token: bytes
    client: str
    encoding: str


def encode_tunnel_fields(head: CallHead, *, token: bytes) -> Headers:
    """The tunnel's own fields of a request."""
    fields: Headers = [(b"headway-class", head.traffic_class.encode())] if head.traffic_class else []
    if head.deadline.target_at < NO_DEADLINE:
        fields.append((b"headway-deadline", _encode_deadline(head.deadline)))
    if head.peer:
        fields.append((b"headway-client", head.peer.encode("ascii", "replace")))
    if token:
        fields.append((b"headway-token", token))
    return fields


def encode_request(head: CallHead, *, authority: str, token: bytes, priority: int, now: float) -> Headers:
    """The header section that starts a call."""
    headers: Headers = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", authority.encode()),
        (b":path", head.path.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"grpc-accept-encoding", _ACCEPT_ENCODING),
        (b"priority", b"u=%d" % min(max(priority, 0), 7)),
    ]
    deadline = head.deadline
    if deadline.limit_at < NO_DEADLINE:
        headers.append((b"grpc-timeout", format_timeout(deadline.limit_at - now).encode()))
    return headers + encode_tunnel_fields(head, token=token) + encode_metadata(head.metadata)


def decode_request(headers: Headers) -> TunnelRequest:
    """Read a request's header section.

    Of several `grpc-timeout` fields the shortest counts. Raises `TunnelProtocolError` with the status for the caller:
    INVALID_ARGUMENT for a malformed `grpc-timeout`, UNIMPLEMENTED for an unknown `grpc-encoding`, INTERNAL for what is
    no gRPC call at all.
    """
    fields = dict(headers)
    if fields.get(b":method") != b"POST":
        raise TunnelProtocolError("not a gRPC call: the method is not POST")
    if not fields.get(b"content-type", b"").startswith(b"application/grpc"):
        raise TunnelProtocolError("not a gRPC call: content-type is not application/grpc")
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in KNOWN_ENCODINGS:
        raise TunnelProtocolError(
            f"grpc-encoding {encoding[:24]!r} is not supported; known: {', '.join(KNOWN_ENCODINGS)}",
            code=Code.UNIMPLEMENTED,
        )
    timeouts = [value for key, value in headers if key == b"grpc-timeout"]
    try:
        timeout_s = min((parse_timeout(value.decode("latin-1")) for value in timeouts), default=LONGEST_TIMEOUT_S)
    except ValueError as error:
        raise TunnelProtocolError(str(error), code=Code.INVALID_ARGUMENT) from None
    return TunnelRequest(
        path=fields.get(b":path", b"").decode("latin-1"),
        metadata=decode_metadata(headers),
        traffic_class=fields.get(b"headway-class", b"").decode("latin-1"),
        deadline=decode_deadline(fields.get(b"headway-deadline")),
        timeout_s=timeout_s if timeout_s < LONGEST_TIMEOUT_S else None,
        token=fields.get(b"headway-token", b""),
        client=fields.get(b"headway-client", b"").decode("latin-1"),
        encoding=encoding,
    )


def encode_initial_metadata(metadata: Metadata) -> Headers:
    """The header section that starts an answer."""
    return _RESPONSE_HEAD + encode_metadata(metadata)


def encode_status(status: CallStatus, *, trailers_only: bool, stages: bytes = b"") -> Headers:
    """The section that ends an answer; with `trailers_only` it is the answer's only one.

    `stages` is what `headway-stages` is to say; nothing leaves it out.
    """
    headers: Headers = list(_RESPONSE_HEAD) if trailers_only else []
    headers.append((b"grpc-status", b"%d" % status.code))
    if status.message:
        headers.append((b"grpc-message", encode_message(status.message)))
    if stages:
        headers.append((STAGES_FIELD, stages))
    return headers + encode_metadata(status.metadata)


class TunnelResponse(NamedTuple):
    """The first header section of an answer: its initial metadata, or, if it is the only one, its status."""

    metadata: Metadata
    encoding: str
    status: CallStatus | None


def decode_response(headers: Headers) -> TunnelResponse:
    """Read the first header section of an answer. Raises `TunnelProtocolError` for an encoding we did not offer."""
    fields = dict(headers)
    http_status = fields.get(b":status", b"").decode("latin-1")
    if b"grpc-status" in fields:
        return TunnelResponse((), "identity", decode_status(headers))
    if http_status != "200" or not fields.get(b"content-type", b"").startswith(b"application/grpc"):
        code = _HTTP_STATUS.get(http_status, Code.UNKNOWN)
        status = CallStatus(code, f"the peer answered with HTTP status {http_status} and no grpc-status")
        return TunnelResponse((), "identity", status)
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in KNOWN_ENCODINGS:
        raise TunnelProtocolError(f"the peer compresses with {encoding[:24]!r}, which was not offered")
    return TunnelResponse(decode_metadata(headers), encoding, None)


def decode_status(headers: Headers) -> CallStatus:
    """Read the section that ends an answer. A status that is no number is UNKNOWN, as in grpc."""
    fields = dict(headers)
    raw = fields.get(b"grpc-status", b"")
    code = _CODES.get(raw, Code.UNKNOWN)
    message = decode_message(fields.get(b"grpc-message", b""))
    if not raw:
        message = "the answer ended without grpc-status"
    return CallStatus(int(code), message, decode_metadata(headers))


def _encode_deadline(deadline: Deadline) -> bytes:
    target = b"%d" % round(min(deadline.target_at, _LATEST_AT) * 1e6)
    if deadline.limit_at == NO_DEADLINE:
        return target
    return target + b";limit=%d" % round(min(deadline.limit_at, _LATEST_AT) * 1e6)


def decode_deadline(value: bytes | None) -> Deadline | None:
    """`headway-deadline`, on the proxy's clock.

    None for an absent or unreadable one: the daemon then counts from arrival.
    """
    if value is None:
        return None
    target, _, limit = value.partition(b";limit=")
    try:
        target_at = int(target) / 1e6
        limit_at = int(limit) / 1e6 if limit else math.inf
    except (ValueError, OverflowError):
        return None
    return Deadline(min(target_at, limit_at), limit_at)
