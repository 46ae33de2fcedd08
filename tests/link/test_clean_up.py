"""However a link's owner ends, its namespaces go, and what runs in them."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from ops.link import EmulatedLink, LinkError, namespaces
from ops.link.namespaces import SIDES

pytestmark = pytest.mark.slow

TOOL = (sys.executable, "-m", "ops.link")

OWNER = """
import asyncio, sys
from ops.link import EmulatedLink

async def main():
    async with EmulatedLink() as link:
        inside = await asyncio.create_subprocess_exec(*link.near.command(["sleep", "60"]))
        print(link.name, link.shuttle_pid, inside.pid, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        raise ValueError("on purpose")

asyncio.run(main())
"""


def exists(name: str) -> bool:
    return any((namespaces.HOME / f"{name}-{side}").exists() for side in SIDES)


async def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(8):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


async def started(command: Sequence[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)


async def line_of(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(15):
        return (await process.stdout.readline()).decode().split()


@pytest.mark.parametrize("how", ["exception", signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_when_the_owner_ends(how: str | signal.Signals) -> None:
    owner = await started([sys.executable, "-c", OWNER])
    name, shuttle, inside = await line_of(owner)
    assert exists(name)
    if isinstance(how, signal.Signals):
        owner.send_signal(how)
    output, errors = await owner.communicate(b"\n")
    assert output == b""
    assert (b"on purpose" in errors) == (how == "exception")
    assert await gone(int(shuttle))
    assert await gone(int(inside))
    assert not exists(name)


async def test_when_the_block_ends() -> None:
    async with EmulatedLink() as link:
        name, shuttle = link.name, link.shuttle_pid
        assert exists(name)
    assert not exists(name)
    assert await gone(shuttle)
    with pytest.raises(LinkError, match="the link is not up"):
        link.statistics()


async def test_when_the_shuttle_is_killed_the_owner_cleans_up() -> None:
    async with EmulatedLink() as link:
        name = link.name
        os.kill(link.shuttle_pid, signal.SIGKILL)
        assert await link.ended() == -signal.SIGKILL
        with pytest.raises(LinkError, match="does not answer"):
            link.statistics()
        assert exists(name)
    assert not exists(name)


async def test_what_both_leave_behind_is_swept_by_the_next_and_not_before_the_owner_is_gone() -> None:
    owner = await started([sys.executable, "-c", OWNER])
    name, shuttle, inside = await line_of(owner)
    os.kill(int(shuttle), signal.SIGKILL)
    assert await gone(int(shuttle))
    async with EmulatedLink():
        assert exists(name)
    owner.kill()
    # Not `owner.wait()`: that also waits until `inside` has closed the pipes that it has from its parent.
    assert await gone(owner.pid)
    async with EmulatedLink():
        assert not exists(name)
    assert await gone(int(inside))
    await owner.communicate()


async def test_the_tool_from_up_to_down() -> None:
    up = await started([*TOOL, "up", "--rate", "5mbit", "--delay", "5ms", "--interval", "0.05"])
    name = (await line_of(up))[1]

    def tool(*arguments: str) -> str:
        return subprocess.run([*TOOL, *arguments], capture_output=True, text=True, check=True).stdout

    address = await asyncio.to_thread(tool, "exec", "near", "--link", name, "--", "ip", "-br", "addr")
    assert "10.77.0.1/24" in address
    shown, changed = await asyncio.gather(
        asyncio.to_thread(tool, "show"), asyncio.to_thread(tool, "change", "--link", name, "--rate", "1mbit")
    )
    assert f"{name}: up for process {up.pid}" in shown
    assert changed == f"{name}: changed\n"
    assert f"{name}: ended" in await asyncio.to_thread(tool, "down", name)
    assert not exists(name)
    output, _ = await up.communicate()
    assert output.decode().endswith("the link is gone, and its namespaces with it\n")
    assert b" s  up 0.00 Mbit/s, 0 packets" in output
    assert up.returncode == 0


async def test_ctrl_c_ends_the_tool() -> None:
    up = await started([*TOOL, "up"])
    name = (await line_of(up))[1]
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0
    assert not exists(name)
