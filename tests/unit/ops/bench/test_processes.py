import asyncio
import contextlib
import os
import select
import sys
from pathlib import Path

import psutil
import pytest

from ops.bench.processes import Child, ChildError, started

WAITS_S = 20.0

READY = "print('{}', flush=True);"


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_it_is_ready_with_the_line_it_prints_and_gone_when_the_block_ends(tmp_path: Path) -> None:
    code = "import time; print('starting'); print('{\"port\": 7}', flush=True); time.sleep(60)"
    async with started("sleeper", program(code), log=tmp_path / "log") as child:
        assert child.ready_line == '{"port": 7}'
        assert psutil.pid_exists(child.pid)
        assert child.ended() is None
    assert child.process.returncode == -15
    assert (tmp_path / "log").read_text() == 'starting\n{"port": 7}\n'


async def test_one_that_ends_early_says_what_it_wrote(tmp_path: Path) -> None:
    code = "import sys; print('no such file', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ChildError, match="quitter ended with 3:\nno such file"):
        async with started("quitter", program(code), log=tmp_path / "log"):
            pytest.fail("it never was ready")


async def test_one_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    code = "import time; print('hm', flush=True); time.sleep(60)"
    with pytest.raises(ChildError, match=r"dawdler was not ready after 0.5 s"):
        async with started("dawdler", program(code), log=tmp_path / "log", start_timeout_s=0.5):
            pytest.fail("it never was ready")


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = f"import signal, time; signal.signal(15, signal.SIG_IGN); {READY} time.sleep(60)"
    async with started("stubborn", program(code), log=tmp_path / "log", stop_timeout_s=0.1) as child:
        pass
    assert child.process.returncode == -9


async def test_lines_go_both_ways(tmp_path: Path) -> None:
    code = f"import sys; {READY} [print(line.strip()[::-1], flush=True) for line in sys.stdin]"
    async with started("mirror", program(code), log=tmp_path / "log", talks=True) as child:
        child.write("abc")
        async with asyncio.timeout(WAITS_S):
            assert await child.lines.get() == "cba"


async def test_the_end_of_a_running_program_is_seen(tmp_path: Path) -> None:
    code = f"import sys; {READY} sys.stdin.readline(); sys.exit('enough')"
    async with started("leaver", program(code), log=tmp_path / "log", talks=True) as child:
        child.write("go")
        async with asyncio.timeout(WAITS_S):
            assert await child.lines.get() == "enough"
            assert await child.lines.get() == ""
        assert str(child.ended()) == "leaver ended with 1:\n{}\nenough"


async def test_a_cancelled_experiment_leaves_nothing(tmp_path: Path) -> None:
    running: asyncio.Queue[Child] = asyncio.Queue()

    async def experiment() -> None:
        code = f"import signal, time; signal.signal(15, signal.SIG_IGN); {READY} time.sleep(60)"
        async with started("sleeper", program(code), log=tmp_path / "log", stop_timeout_s=0.1) as child:
            running.put_nowait(child)
            await asyncio.Event().wait()

    async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as group:
        task = group.create_task(experiment())
        child = await running.get()
        task.cancel()
    assert child.process.returncode == -9


@pytest.mark.parametrize("ends", ["by itself", "when told"])
async def test_what_a_program_leaves_running_ends_with_it(ends: str, tmp_path: Path) -> None:
    code = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True);"
    code += "" if ends == "by itself" else "sys.stdin.readline()"
    async with started(
        "parent", program(code), log=tmp_path / "log", ready=str.isdigit, talks=True, stop_timeout_s=0.1
    ) as it:
        left = os.pidfd_open(int(it.ready_line))
        if ends == "by itself":
            with contextlib.suppress(ChildProcessError):  # asyncio has waited for it already
                await asyncio.to_thread(os.waitid, os.P_PID, it.pid, os.WEXITED | os.WNOWAIT)
    ended, _, _ = await asyncio.to_thread(select.select, [left], [], [], WAITS_S)
    os.close(left)
    assert ended
