"""Join a call that came in to a call that goes out, until either ends."""

from __future__ import annotations

import asyncio

from proxy.errors import Code
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallStatus, IncomingCall, InitialMetadata, OutgoingCall


async def relay(incoming: IncomingCall, outgoing: OutgoingCall) -> CallStatus:
    """Pass messages both ways and return how the outgoing call ended.

    The incoming one is left to be finished by the caller.

    When this task is cancelled, because the caller went away or a deadline passed, the outgoing call is cancelled.
    """
    upward: asyncio.Task[None] | None = None
    try:
        if incoming.head.unary:
            message = await incoming.receive()
            if message is None:
                return CallStatus(Code.INTERNAL, "a unary request ended without a message")
            await outgoing.send(message, last=True)
        else:
            upward = spawn(_pass_requests(incoming, outgoing), name="requests")
        while True:
            event = await outgoing.receive()
            if isinstance(event, bytes):
                await incoming.send(event)
            elif isinstance(event, InitialMetadata):
                await incoming.send_initial_metadata(event.metadata)
            else:
                return event
    finally:
        if upward is not None:
            upward.cancel()
        outgoing.cancel()


async def _pass_requests(incoming: IncomingCall, outgoing: OutgoingCall) -> None:
    while (message := await incoming.receive()) is not None:
        await outgoing.send(message)
    await outgoing.close_sending()
