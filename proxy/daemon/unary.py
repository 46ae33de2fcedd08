"""One call with one message each way, from its head to its status."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import Code
from proxy.tunnel.exchange import CallHead, CallStatus, Carrier, IncomingCall, InitialMetadata, Metadata


@dataclass(frozen=True, slots=True)
class UnaryAnswer:
    """What came back."""

    status: CallStatus
    message: bytes | None = None
    initial: Metadata | None = None
    """None when no headers came."""

    @property
    def ok(self) -> bool:
        """There is a message to go on with."""
        return self.status.ok and self.message is not None


async def ask(carrier: Carrier, head: CallHead, message: bytes) -> UnaryAnswer:
    """Make the call. Given up at once when this is cancelled."""
    call = carrier.open(head if head.unary else head._replace(unary=True))
    answer: bytes | None = None
    initial: Metadata | None = None
    status: CallStatus | None = None
    try:
        await call.send(message, last=True)
        while status is None:
            match await call.receive():
                case CallStatus() as status:
                    pass
                case InitialMetadata(metadata):
                    initial = metadata
                case bytes() as answer:
                    pass
    finally:
        if status is None:
            call.cancel()
    return UnaryAnswer(status, answer, initial)


async def deliver(
    incoming: IncomingCall, answer: UnaryAnswer, *, suffix: bytes = b"", trailers: Metadata = ()
) -> CallStatus:
    """Give an answer to the caller, with something appended to its message and to its trailing metadata."""
    if answer.initial is not None and (answer.initial or answer.message is None):
        await incoming.send_initial_metadata(answer.initial)
    if answer.message is not None:
        await incoming.send(answer.message + suffix if suffix else answer.message)
    status = answer.status
    if trailers:
        status = CallStatus(status.code, status.message, status.metadata + trailers, retryable=status.retryable)
    await incoming.finish(status)
    return status


async def reply(incoming: IncomingCall, message: bytes) -> CallStatus:
    """Answer the caller with one message and OK."""
    status = CallStatus(Code.OK)
    await incoming.send(message)
    await incoming.finish(status)
    return status
