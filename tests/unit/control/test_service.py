"""What the control service answers. The interval of a watch passes in virtual time."""

from __future__ import annotations

import logging

import pytest

from proxy.control.service import ControlService
from proxy.errors import CallError, Code
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.testing.virtual_loop import VirtualTimeLoop
from tests.unit.control.controlled import FakeProcess


def refusal(error: pytest.ExceptionInfo[CallError]) -> tuple[Code, str]:
    return error.value.code, error.value.message


def test_a_status_is_the_process_s() -> None:
    process = FakeProcess()
    assert ControlService(process).get_status() == process.status()


def test_a_switch_says_from_what_to_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    process = FakeProcess()
    service = ControlService(process)
    assert service.set_scheduler(pb.SetSchedulerRequest(name="rr"), caller="127.0.0.1:5") == pb.SetSchedulerResponse(
        previous="edf", scheduler="rr"
    )
    assert process.name == "rr"
    assert caplog.messages == ["Scheduler is rr, was edf, as 127.0.0.1:5 asks"]


def test_an_unknown_scheduler_is_an_invalid_argument_and_changes_nothing() -> None:
    process = FakeProcess()
    with pytest.raises(CallError) as error:
        ControlService(process).set_scheduler(pb.SetSchedulerRequest(name="fastest"), caller="")
    assert refusal(error) == (Code.INVALID_ARGUMENT, "unknown scheduler 'fastest'; known: rr, edf")
    assert process.name == "edf"


def test_without_a_scheduler_there_is_nothing_to_switch() -> None:
    with pytest.raises(CallError) as error:
        ControlService(FakeProcess(has_scheduler=False)).set_scheduler(pb.SetSchedulerRequest(name="rr"), caller="")
    assert refusal(error) == (Code.FAILED_PRECONDITION, "no stream scheduler")


def test_a_policy_is_switched_and_a_wrong_route_named() -> None:
    process = FakeProcess()
    service = ControlService(process)
    assert service.set_policy(pb.SetPolicyRequest(route="llm", policy="static:a"), caller="") == pb.SetPolicyResponse(
        previous="round_robin", policy="static:a"
    )
    assert process.policy == "static:a"
    with pytest.raises(CallError) as error:
        service.set_policy(pb.SetPolicyRequest(route="nope", policy="static:b"), caller="")
    assert refusal(error) == (Code.INVALID_ARGUMENT, "unknown route 'nope'; known are llm")
    assert process.policy == "static:a"


def test_a_drain_says_how_many_calls_are_under_way() -> None:
    process = FakeProcess()
    assert ControlService(process).drain(caller="").calls == 3
    assert process.draining


@pytest.mark.parametrize(("asked_s", "interval_s"), [(0.0, 1.0), (0.1, 0.1), (60.0, 60.0)])
def test_a_watch_begins_at_once_and_goes_on_by_its_interval(asked_s: float, interval_s: float) -> None:
    process = FakeProcess()
    loop = VirtualTimeLoop()

    async def watch() -> list[float]:
        times: list[float] = []
        async for status in ControlService(process).watch_status(pb.WatchStatusRequest(interval_s=asked_s)):
            assert status.listen == "127.0.0.1:4433"
            times.append(loop.clock.now())
            if len(times) == 3:
                break
        return times

    began_at = loop.clock.now()
    try:
        times = loop.run_until_complete(watch())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert [time - began_at for time in times] == pytest.approx([0.0, interval_s, 2 * interval_s])
    assert process.looks == 3


@pytest.mark.parametrize("interval_s", [-1.0, 0.05, 3601.0, float("nan"), float("inf")])
async def test_an_interval_that_is_none_is_refused(interval_s: float) -> None:
    process = FakeProcess()
    with pytest.raises(CallError) as error:
        await anext(ControlService(process).watch_status(pb.WatchStatusRequest(interval_s=interval_s)))
    assert refusal(error) == (Code.INVALID_ARGUMENT, f"interval_s is {interval_s:g}, and is to be 0.1 to 3600")
    assert process.looks == 0
