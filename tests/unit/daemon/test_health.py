from __future__ import annotations

import pytest

from proxy.daemon.health import check
from proxy.daemon.routes import Backend
from proxy.daemon.triton import HEALTH_CHECK
from proxy.errors import Code
from proxy.testing.calls import Answer, MemoryCarrier, answering, exchange, failing
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, IncomingCall


async def ask(backend: CallHandler, *, draining: bool = False) -> Answer:
    async def handler(call: IncomingCall) -> None:
        await check(call, call.head, Backend("a", "localhost:8101", MemoryCarrier(backend)), draining=draining)

    return await exchange(MemoryCarrier(handler), CallHead(HEALTH_CHECK, unary=True), b"\x0a\x03svc")


@pytest.mark.parametrize("said", [b"\x08\x01", b"\x08\x02", b"\x08\x03"])
async def test_the_backend_s_word_passes(said: bytes) -> None:
    assert (await ask(answering(said))).messages == (said,)


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.UNIMPLEMENTED])
async def test_so_does_its_refusal(code: Code) -> None:
    assert (await ask(failing(code, "service"))).status == CallStatus(code, "service")


async def test_a_backend_that_is_away_is_not_serving() -> None:
    answer = await ask(failing(Code.UNAVAILABLE, "refused", retryable=True))
    assert (answer.messages, answer.status.code) == ((b"\x08\x02",), Code.OK)


async def test_a_daemon_that_drains_is_not_serving_whatever_the_backend_says() -> None:
    assert (await ask(answering(b"\x08\x01"), draining=True)).messages == (b"\x08\x02",)
