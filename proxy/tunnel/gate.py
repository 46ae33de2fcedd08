"""The daemon's gate: who may come in, and what a request's headers mean on the daemon's clock."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from policies.traffic import Deadline, TrafficClass, call_deadline
from proxy.errors import CallError, Code
from proxy.tunnel.clock_sync import RoundTrip
from proxy.tunnel.exchange import CallHead
from proxy.tunnel.headers import TunnelRequest
from proxy.tunnel.methods import is_unary


class TokenCheck:
    """Compares tokens in constant time.

    `tokens` is asked at each check, so that rotation needs no restart; none: everybody may in.
    """

    def __init__(self, tokens: Callable[[], tuple[bytes, ...]]) -> None:
        self._tokens = tokens

    def admits(self, shown: bytes) -> bool:
        """True if `shown` is one of the tokens, or if there are none."""
        tokens = self._tokens()
        if not tokens:
            return True
        # Every token is compared, so that the time tells nothing of which one matched.
        return sum(hmac.compare_digest(shown, token) for token in tokens) > 0


class PeerClock:
    """How far this process's clock is ahead of one proxy's, as the control call has it."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._measured = False
        self.round_trip: RoundTrip | None = None
        """What an exchange with the proxy takes; None before it has told."""

    def __repr__(self) -> str:
        return f"<PeerClock offset_s={self._offset_s} measured={self._measured}>"

    @property
    def offset_s(self) -> float | None:
        """Our clock minus the proxy's; None before its first report."""
        return self._offset_s

    def ours(self, at: float) -> float:
        """A time on the proxy's clock on ours; 0.0 for 0.0, and before the first report."""
        return at + self._offset_s if at and self._offset_s is not None else 0.0

    def measured(self, offset_s: float) -> None:
        """The proxy has measured the offset in both directions."""
        self._offset_s = offset_s
        self._measured = True

    def arrived(self, *, sent_at: float, received_at: float) -> None:
        """A report came in, sent at `sent_at` on the proxy's clock.

        One way only, so the offset seems too large by that way: a deadline seems at most that much later than it is.
        """
        if not self._measured:
            bound_s = received_at - sent_at
            self._offset_s = bound_s if self._offset_s is None else min(self._offset_s, bound_s)


class Gate:
    """Turns an arriving request into the head of a call, or refuses it."""

    def __init__(self, *, tokens: TokenCheck, classes: Mapping[str, TrafficClass], default_class: str) -> None:
        self._tokens = tokens
        self._classes = classes
        self._default_class = classes[default_class]

    def traffic_class(self, name: str) -> TrafficClass:
        """The class of that name, or the default one."""
        return self._classes.get(name, self._default_class)

    def head(self, request: TunnelRequest, *, clock: PeerClock, peer: str, now: float) -> CallHead:
        """Raises `CallError` (UNAUTHENTICATED) if the request shows no valid token."""
        if not self._tokens.admits(request.token):
            raise CallError(Code.UNAUTHENTICATED, "the headway-token header is missing or wrong")
        traffic_class = self.traffic_class(request.traffic_class)
        return CallHead(
            path=request.path,
            metadata=request.metadata,
            traffic_class=traffic_class.name,
            deadline=_deadline(request, clock, traffic_class, now),
            peer=_client(request.client, peer),
            accepted_at=now,
            unary=is_unary(request.path),
            tunnel=peer,
        )


def _client(claimed: str, proxy: str) -> str:
    """The client, as the proxy names it; but the proxy itself for a client that is local to a proxy elsewhere."""
    if not claimed or (_is_loopback(claimed) and not _is_loopback(proxy)):
        return proxy
    return claimed


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "[::1]", "unix:"))


def _deadline(request: TunnelRequest, clock: PeerClock, traffic_class: TrafficClass, now: float) -> Deadline:
    """A request's deadline on our clock.

    Without a clock to translate from, it counts from arrival and `grpc-timeout`.
    """
    counted = call_deadline(traffic_class, now=now, limit_s=request.timeout_s)
    if request.deadline is None or clock.offset_s is None:
        return counted
    deadline = request.deadline.shifted(clock.offset_s)
    # A limit never grows across a hop, however wrong the clocks' comparison: grpc-timeout from arrival bounds it.
    limit_at = min(deadline.limit_at, counted.limit_at)
    return Deadline(min(deadline.target_at, limit_at), limit_at)
