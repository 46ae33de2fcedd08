import asyncio
import contextlib
import os
import select
import sys
from pathlib import Path

import psutil
import pytest

from ops.bench.processes import Child, ChildError, CommandError, Program, listens, started, started_together

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


HALVES = f"""
import json, sys
{READY}
for line in sys.stdin:
    print("a remark")
    match json.loads(line)["halve"]:
        case 2: print('{{"half": 1}}', flush=True)
        case 3: print('{{"error": "3 is odd"}}', flush=True)
        case _: sys.exit("too much")
"""


async def test_a_command_is_answered_or_refused(tmp_path: Path) -> None:
    async with started("table", program(HALVES), log=tmp_path / "log", talks=True) as child:
        assert await child.ask({"halve": 2}, limit_s=WAITS_S) == {"half": 1}
        with pytest.raises(CommandError, match=r"^3 is odd$"):
            await child.ask({"halve": 3}, limit_s=WAITS_S)
        assert await child.ask({"halve": 2}) == {"half": 1}


async def test_a_program_that_ends_or_is_silent_instead_of_answering_says_so(tmp_path: Path) -> None:
    async with started("table", program(HALVES), log=tmp_path / "log", talks=True) as child:
        with pytest.raises(ChildError, match=r"table ended with 1:\n(.*\n)*too much"):
            await child.ask({"halve": 4}, limit_s=WAITS_S)
    code = f"import time; {READY} print('busy', flush=True); time.sleep(60)"
    async with started("sleeper", program(code), log=tmp_path / "log", talks=True) as child:
        async with asyncio.timeout(WAITS_S):
            assert await child.lines.get() == "busy"
        with pytest.raises(ChildError, match=r"sleeper has not answered after 0\.01 s:\n{}\nbusy"):
            await child.ask({}, limit_s=0.01)


async def test_programs_that_start_together_are_ready_when_all_of_them_are(tmp_path: Path) -> None:
    meet = f"open({str(tmp_path / 'pipe')!r}, %r).close()"
    os.mkfifo(tmp_path / "pipe")  # neither opens its end before the other does
    code = "import os, sys;" + meet + "; print(os.environ['WORD'] + ' listens on 1', flush=True); sys.stdin.read()"
    programs = {
        "reader": Program(program(code % "r"), tmp_path / "reader.log", listens, talks=True),
        "writer": Program(program(code % "w"), tmp_path / "writer.log", listens, talks=True),
    }
    async with started_together(programs, environment={"WORD": "it"}, start_timeout_s=WAITS_S) as children:
        assert [(name, child.name, child.ready_line) for name, child in children.items()] == [
            ("reader", "reader", "it listens on 1"),
            ("writer", "writer", "it listens on 1"),
        ]
    assert {child.process.returncode for child in children.values()} == {-15}
    assert (tmp_path / "writer.log").read_text() == "it listens on 1\n"


async def test_of_programs_that_start_together_one_that_does_not_ends_the_others(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); {READY} time.sleep(60)"
    quits = f"import os, sys, time\nwhile not os.path.exists({str(file)!r}): time.sleep(0.01)\nsys.exit('no port')"
    programs = {
        "quitter": Program(program(quits), tmp_path / "quitter.log"),
        "sleeper": Program(program(code), tmp_path / "sleeper.log"),
    }
    with pytest.raises(ChildError, match="quitter ended with 1:\nno port"):
        async with started_together(programs):
            pytest.fail("it never was ready")
    assert not psutil.pid_exists(int(file.read_text()))


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
