from __future__ import annotations

from proxy.daemon.noted_call import noted
from proxy.errors import Code
from proxy.testing.calls import MemoryCarrier, answering
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, InitialMetadata

HEAD = CallHead("/p.S/M")


async def test_the_first_message_each_way_is_noted() -> None:
    clock, times = ManualClock(now=1.0), CallTimes()
    call = noted(MemoryCarrier(answering(b"one", b"two", initial=())).open(HEAD), times, clock=clock)
    assert repr(call).startswith("<NotedCall <MemoryOutgoing /p.S/M open")
    assert call.peer == ""
    await call.send(b"request")
    clock.advance(1.0)
    await call.send(b"more")
    await call.close_sending()
    assert await call.receive() == InitialMetadata()
    assert times.answered_at == 0.0
    clock.advance(1.0)
    assert await call.receive() == b"one"
    clock.advance(1.0)
    assert await call.receive() == b"two"
    assert await call.receive() == CallStatus(Code.OK)
    assert (times.sent_at, times.answered_at) == (1.0, 3.0)


async def test_a_status_alone_is_an_answer() -> None:
    clock, times = ManualClock(now=1.0), CallTimes()
    call = noted(MemoryCarrier(answering()).open(HEAD), times, clock=clock)
    await call.send(b"request", last=True)
    assert isinstance(await call.receive(), CallStatus)
    assert times.answered_at == 1.0


async def test_what_nobody_wants_to_know_is_not_noted() -> None:
    call = MemoryCarrier(answering()).open(HEAD)
    assert noted(call, None, clock=ManualClock()) is call
    call.cancel()


async def test_giving_up_reaches_the_backend() -> None:
    call = MemoryCarrier(answering()).open(HEAD)
    noted(call, CallTimes(), clock=ManualClock()).cancel()
    assert call.cancelled
