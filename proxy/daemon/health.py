"""Health checks: the backend's word, and NOT_SERVING where there is none to be had.

A load balancer or Kubernetes takes an error for a broken probe and NOT_SERVING for a server that gets no traffic for
now; the second is what a daemon is whose backend is away, or that drains.
"""

from __future__ import annotations

from proxy.daemon.routes import Backend
from proxy.daemon.triton import HEALTH_NOT_SERVING
from proxy.daemon.unary import ask, deliver, reply
from proxy.errors import Code
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall


async def check(incoming: IncomingCall, head: CallHead, backend: Backend, *, draining: bool) -> CallStatus:
    """Answer one `grpc.health.v1.Health/Check`."""
    message = await incoming.receive()
    if draining:
        return await reply(incoming, HEALTH_NOT_SERVING)
    answer = await ask(backend.carrier, head, message or b"")
    if answer.message is None and answer.status.code == Code.UNAVAILABLE:
        return await reply(incoming, HEALTH_NOT_SERVING)
    return await deliver(incoming, answer)
