from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.daemon.probe import Probe
from proxy.daemon.triton import HEALTH_CHECK
from proxy.errors import Code
from proxy.testing.calls import MemoryCarrier, answering, exchange, failing, hanging
from proxy.tunnel.exchange import CallHandler
from tests.unit.daemon.stub_triton import StubModel, StubTriton, daemon, head, infer_request, settings

TWO = {"large": "a", "small": "b"}


async def test_a_triton_that_goes_and_comes_back_is_noticed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    with caplog.at_level(logging.WARNING, "proxy.daemon.probe"):
        await dispatcher.probe.probe()
        assert dispatcher.report().serving == ("a", "b")
        assert caplog.messages == []
        a.down = True
        await dispatcher.probe.probe()
        await dispatcher.probe.probe()
        assert dispatcher.report().serving == ("b",)
        a.down = False
        await dispatcher.probe.probe()
        assert dispatcher.report().serving == ("a", "b")
    assert caplog.messages == [
        "triton 'a' at localhost:8101 is away: triton is unreachable: connection refused",
        "Model large of triton 'a' at localhost:8101 is not ready",
        "triton 'a' at localhost:8101 answers again",
        "Model large of triton 'a' at localhost:8101 is ready again",
    ]
    assert repr(dispatcher.probe) == "<Probe serving=a,b>"


async def test_requests_avoid_what_a_probe_found_not_ready() -> None:
    a, b = StubTriton({"large": StubModel(ready=False)}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO, policy="static:large"), a=a, b=b)
    await dispatcher.probe.probe()
    answer = await exchange(MemoryCarrier(dispatcher), head(), infer_request("llm"))
    assert answer.trailer("x-headway-model") == "small"
    assert a.seen == []


@pytest.mark.parametrize("handler", [failing(Code.UNIMPLEMENTED), answering(b"\x08\x02")])
async def test_a_server_without_health_service_or_not_serving_answers_all_the_same(handler: CallHandler) -> None:
    a = StubTriton({})
    a.carrier.handler = handler
    dispatcher = daemon(settings({}, tritons="a"), a=a)
    await dispatcher.probe.probe()
    assert dispatcher.report().serving == ("a",)
    assert a.carrier.calls[0].head.path == HEALTH_CHECK


async def test_a_server_that_hangs_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.daemon.probe.TIMEOUT_S", 0.02)
    a = StubTriton({})
    a.carrier.handler = hanging()
    dispatcher = daemon(settings({}, tritons="a"), a=a)
    await dispatcher.probe.probe()
    assert dispatcher.report().serving == ()
    assert a.carrier.calls[0].cancelled


async def test_it_runs_until_it_is_cancelled() -> None:
    a = StubTriton({})
    probe: Probe = daemon(settings({}, tritons="a"), a=a).probe
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(probe.run(), 0.05)
    assert len(a.carrier.calls) == 1
