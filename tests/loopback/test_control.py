"""`headway ctl` and the processes that it switches while they carry calls, all of them real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from proxy.children import send_signal
from proxy.testing.ports import free_port
from proxy.testing.stack import ProcessStack
from tests.conformance.backend import Backend
from tests.conformance.client import Client, drained
from tests.conformance.payload import payload
from tests.conformance.pb import conformance_pb2 as pb

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MESSAGE_BYTES = 48 * 1024
CLASSES = ("realtime", "standard", "bulk", "bulk")


async def ctl(*arguments: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of `headway ctl`."""
    process = await start_ctl(*arguments)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def start_ctl(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "proxy.cli", "ctl", *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


@asynccontextmanager
async def processes() -> AsyncIterator[tuple[ProcessStack, dict[str, str], Path]]:
    """A stack, where its roles are controlled, and a file that has both."""
    at = {role: f"127.0.0.1:{free_port()}" for role in ("proxy", "daemon")}
    proxy, daemon = ({"control_listen": address} for address in at.values())
    async with Backend() as backend, ProcessStack(backend.address, proxy=proxy, daemon=daemon) as stack:
        yield stack, at, stack.files.path / "proxy.yaml"


class Conversation:
    """A call that goes on both ways, every message another one, until it is told to end."""

    def __init__(self, client: Client, traffic_class: str, seed: int) -> None:
        self._call = client.bidi(metadata=(("x-traffic-class", traffic_class),))
        self._seed = seed
        self._going = True
        self.messages = 0

    def _message(self, number: int) -> bytes:
        return payload(MESSAGE_BYTES, self._seed * 1_000_000 + number)

    async def run(self, *, ahead: int = 8) -> None:
        """Keep `ahead` messages on their way; each must come back as it went."""
        sent = 0
        while self._going or self.messages < sent:
            while self._going and sent - self.messages < ahead:
                await self._call.write(pb.CallRequest(payload=self._message(sent), echo=True))
                sent += 1
            answer = await self._call.read()
            assert answer.payload == self._message(self.messages)
            self.messages += 1
        await self._call.done_writing()
        assert (await drained(self._call)).code is grpc.StatusCode.OK

    def finish(self) -> None:
        """Let `run` come to its end."""
        self._going = False


async def shown(watch: asyncio.subprocess.Process, scheduler: str) -> dict[str, Any]:
    """What a watch over both roles says once both send by `scheduler`, by role."""
    assert watch.stdout is not None
    found: dict[str, Any] = {}
    async with asyncio.timeout(20):
        while len(found) < 2:
            status = json.loads(await watch.stdout.readline())
            if status["sending"]["scheduler"] == scheduler:
                found[status["role"]] = status
    return found


async def test_a_switch_on_both_ends_harms_no_call_under_way() -> None:
    async with processes() as (stack, at, file), Client(stack.address) as client:
        conversations = [Conversation(client, name, seed) for seed, name in enumerate(CLASSES)]
        watch = await start_ctl("status", "-c", str(file), "--watch", "--interval", "0.1", "--json")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for conversation in conversations:
                group.create_task(conversation.run())
            await shown(watch, "edf")
            for name, previous in (("rr", "edf"), ("edf", "rr")):
                before = [conversation.messages for conversation in conversations]
                assert await ctl("scheduler", name, "-c", str(file)) == (
                    0,
                    "".join(f"{role} at {at[role]}: scheduler {name}, was {previous}\n" for role in at),
                    "",
                )
                statuses = await shown(watch, name)
                for role, status in statuses.items():
                    assert (status["at"], status["calls"]) == (at[role], len(CLASSES))
                    assert [tunnel["calls"] for tunnel in status["tunnels"]] == [len(CLASSES)]
                # `headway ctl` takes a while to start: all went on meanwhile.
                assert all(now.messages > then for now, then in zip(conversations, before, strict=True))
            for conversation in conversations:
                conversation.finish()
        for role in at:
            assert "Scheduler is rr, was edf, as 127.0.0.1:" in stack.log(role)
        send_signal(watch, signal.SIGINT)
        async with asyncio.timeout(20):
            _, err = await watch.communicate()
        assert (watch.returncode, err) == (0, b"")


async def test_of_two_roles_the_one_that_is_away_is_a_line_and_exit_code_1() -> None:
    async with processes() as (stack, at, file):
        await stack.kill_daemon()
        code, out, err = await ctl("scheduler", "rr", "-c", str(file))
        assert (code, out) == (1, f"proxy at {at['proxy']}: scheduler rr, was edf\n")
        assert err.startswith(f"headway: daemon at {at['daemon']}: ")
        assert err.count("\n") == 1
        # A daemon that comes back is sent to by the new discipline, and has its own from its file.
        await stack.start_daemon()
        await stack.logged("proxy", f"Tunnel to {stack.daemon_address} is up", times=2)
        assert (await ctl("scheduler", "--at", at["proxy"], "--at", at["daemon"]))[1].splitlines() == [
            f"proxy at {at['proxy']}: uplink rr",
            f"daemon at {at['daemon']}: downlink edf",
        ]
