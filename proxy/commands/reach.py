"""Whether a daemon can be reached, for `headway check`: connected to, and let in, as the proxy would be."""

from __future__ import annotations

import asyncio
import logging

from proxy.clock import MonotonicClock
from proxy.compose.tunnels import open_tunnel
from proxy.config import Address, ProxySettings, read_tokens
from proxy.control_call import CONTROL_PATH
from proxy.errors import Code
from proxy.pb.headway.v1 import tunnel_pb2
from proxy.tunnel.exchange import CallHead, CallStatus
from proxy.tunnel.tunnel import Tunnel, TunnelState

TIMEOUT_S = 5.0
"""More than the three round trips of a handshake over a link with a second of delay."""
_ABOUT_CERTIFICATES = ("certificate", "hostname")


async def probe_daemon(address: Address, proxy: ProxySettings, *, timeout_s: float = TIMEOUT_S) -> str:
    """Connect over the transport that is configured, and show the token; what stands in the way, or empty."""
    _keep_quiet()
    try:
        tunnel = _tunnel(address, proxy, timeout_s)
    except (OSError, ValueError) as error:
        return f"{address} was not tried: {error}"
    try:
        async with asyncio.timeout(2 * timeout_s):  # one for the connection, which tells itself, and one for the answer
            await tunnel.wait_settled()
            if tunnel.state is TunnelState.READY:
                return _refusal(address, await _first_answer(tunnel))
    except TimeoutError:
        return _silence(address, proxy, timeout_s)
    finally:
        await tunnel.close()
    reason = tunnel.reason.partition(" is unreachable: ")[2]
    if any(word in reason.lower() for word in _ABOUT_CERTIFICATES):
        return f"{address} shows a certificate that is not accepted: {reason}"
    if reason.startswith("no answer"):
        return _silence(address, proxy, timeout_s)
    return f"{address} cannot be reached: {reason}"


def _silence(address: Address, proxy: ProxySettings, timeout_s: float) -> str:
    hint = "; where UDP is blocked, transport: tcp may do" if proxy.transport == "quic" else ""
    return f"{address} does not answer within {timeout_s:g} s{hint}"


def _tunnel(address: Address, proxy: ProxySettings, timeout_s: float) -> Tunnel:
    token = read_tokens(proxy.token_file)[0].encode() if proxy.token_file is not None else b""
    return open_tunnel(address, proxy, token=lambda: token, clock=MonotonicClock(), handshake_timeout_s=timeout_s)


async def _first_answer(tunnel: Tunnel) -> CallStatus | None:
    """What the daemon says to a report of ours; None for a report of its own."""
    call = tunnel.open(CallHead(path=CONTROL_PATH))
    try:
        await call.send(tunnel_pb2.ProxyReport(sequence=1).SerializeToString())
        while True:
            event = await call.receive()
            if isinstance(event, CallStatus):
                return event
            if isinstance(event, bytes):
                return None
    finally:
        call.cancel()


def _refusal(address: Address, status: CallStatus | None) -> str:
    """Any answer but these two will do: a gRPC server of another make has no control call."""
    if status is None:
        return ""
    if status.code == Code.UNAUTHENTICATED:
        return f"{address} does not let us in: {status.message}"
    return f"{address} cannot be used: {status.message}" if status.code == Code.UNAVAILABLE else ""


def _keep_quiet() -> None:
    """Let what the tunnels log go to handlers that somebody has set up, and not to standard error for want of any."""
    for name in ("proxy", "quic"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
