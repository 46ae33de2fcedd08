"""What `headway ctl` prints, and its exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from proxy.commands.ask import Asking
from proxy.control.server import ControlServer, ControlServerSettings
from proxy.control.service import ControlService
from proxy.control.targets import Target
from proxy.tasks import spawn
from proxy.testing.ports import free_port
from tests.unit.control.controlled import FakeProcess


@pytest.fixture
def process() -> FakeProcess:
    return FakeProcess()


@pytest.fixture
async def target(process: FakeProcess) -> AsyncIterator[Target]:
    """Where the process is controlled."""
    server = ControlServer(ControlServerSettings("127.0.0.1:0"), service=ControlService(process))
    await server.start()
    yield Target(f"127.0.0.1:{server.port}", tls=False, role="daemon")
    await server.stop()


@pytest.fixture
def nobody() -> Target:
    return Target(f"127.0.0.1:{free_port()}", tls=False, role="proxy")


Capture = pytest.CaptureFixture[str]


async def test_a_status_for_people(target: Target, capsys: Capture) -> None:
    assert await Asking([target]).status(as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"daemon at {target.address}: headway 1.2.3, listens on 127.0.0.1:4433, 3 calls",
        "  downlink: edf over quic, cubic",
        "  route llm: round_robin",
    ]


async def test_a_status_for_programs_has_the_errors_too(target: Target, nobody: Target, capsys: Capture) -> None:
    assert await Asking([nobody, target]).status(as_json=True) == 1
    captured = capsys.readouterr()
    away, here = json.loads(captured.out)
    assert away["at"] == nobody.address
    assert "Connection refused" in away["error"]
    assert (here["at"], here["sending"]["scheduler"]) == (target.address, "edf")
    [line] = captured.err.splitlines()
    assert line.startswith(f"headway: proxy at {nobody.address}: ")


async def test_a_switch_of_all_that_answer_and_a_line_for_each_that_does_not(
    process: FakeProcess, target: Target, nobody: Target, capsys: Capture
) -> None:
    assert await Asking([nobody, target]).set_scheduler("rr") == 1
    captured = capsys.readouterr()
    assert captured.out == f"daemon at {target.address}: scheduler rr, was edf\n"
    assert len(captured.err.splitlines()) == 1
    assert process.name == "rr"
    assert await Asking([target]).set_scheduler("edf") == 0
    assert process.name == "edf"


async def test_an_unknown_scheduler_is_one_line(target: Target, capsys: Capture) -> None:
    assert await Asking([Target(target.address, tls=False)]).set_scheduler("fastest") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"headway: {target.address}: unknown scheduler 'fastest'; known: rr, edf\n"


async def test_what_is_in_use(target: Target, capsys: Capture) -> None:
    asking = Asking([target])
    assert [await asking.schedulers(), await asking.policies()] == [0, 0]
    assert capsys.readouterr().out.splitlines() == [
        f"daemon at {target.address}: downlink edf",
        f"daemon at {target.address}: route llm round_robin",
    ]
    assert repr(asking) == f"<Asking daemon at {target.address}>"


async def test_a_policy_and_a_drain(process: FakeProcess, target: Target, capsys: Capture) -> None:
    asking = Asking([target])
    assert [await asking.set_policy("llm", "static:a"), await asking.drain()] == [0, 0]
    assert capsys.readouterr().out.splitlines() == [
        f"daemon at {target.address}: route llm static:a, was round_robin",
        f"daemon at {target.address}: takes no new calls, 3 under way",
    ]
    assert (process.policy, process.draining) == ("static:a", True)


async def test_a_watch_goes_on_until_the_process_has_gone(process: FakeProcess, capsys: Capture) -> None:
    server = ControlServer(ControlServerSettings("127.0.0.1:0"), service=ControlService(process))
    await server.start()
    target = Target(f"127.0.0.1:{server.port}", tls=False)
    watching = spawn(Asking([target]).watch(interval_s=0.1, as_json=True), name="watch")
    async with asyncio.timeout(5):
        await process.looked_twice.wait()
        await server.stop()
        assert await watching == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert {(line["at"], line["role"]) for line in lines} == {(target.address, "daemon")}
    assert captured.err.startswith(f"headway: {target.address}: ")
