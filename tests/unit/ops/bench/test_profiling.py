import asyncio
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench.processes import ROOT, started
from ops.bench.profiled import begin
from ops.bench.profiling import Cost, Kind, Profiling, read, short

WAITS_S = 20.0

SPINS_S = 0.2

BUSY = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

spin({SPINS_S})
print("{{}}", flush=True)
sys.stdin.readline()
spin({SPINS_S})
print("done", flush=True)
sys.stdin.readline()
"""


async def profiled(directory: Path, profiling: Profiling) -> list[Cost]:
    """The costs of a program that spins as long before its profiler begins as after."""
    (directory / "busy.py").write_text(BUSY)
    command = [sys.executable, *profiling.command("busy-role"), "busy"]
    environment = {"PYTHONPATH": f"{ROOT}:{directory}"}
    async with started("busy", command, log=directory / "log", environment=environment, talks=True) as child:
        begin(child.pid)
        child.write("go")
        async with asyncio.timeout(WAITS_S):
            assert await child.lines.get() == "done"
    (file,) = profiling.directory.glob("busy-role.*")
    return list(read(file))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["samples", "calls"])
async def test_the_busy_function_has_the_time_and_what_was_before_has_none(tmp_path: Path, kind: Kind) -> None:
    costs = await profiled(tmp_path, Profiling(kind, tmp_path / "profiles"))
    total_s = {
        cost.function.rpartition("/")[2].split(":")[0]: cost.total_s for cost in costs if "spin" in cost.function
    }
    assert list(total_s) == ["busy.py"]
    # The tick may be 4 ms and the machine busy; with the first spin in it, it would be twice as much.
    assert 0.7 * SPINS_S < total_s["busy.py"] < 1.5 * SPINS_S


def test_a_run_does_not_show_the_profiles_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "headway-quic-proxy.pstats").write_bytes(b"old")
    profiling = Profiling("calls", tmp_path)
    console = Console(record=True, file=io.StringIO())
    profiling.show(console)
    assert "no profile was left" in console.export_text()


def test_calls_are_counted_per_path(tmp_path: Path) -> None:
    profiling = Profiling("samples", tmp_path)
    cells = [{"peer": name, "metrics": {"calls": calls}} for name, calls in (("a", 3), ("b", 5), ("a", 4))]
    profiling.note_calls(cells)
    assert profiling.calls == {"a": 7, "b": 5}


def test_functions_are_named_from_their_package() -> None:
    assert short("/x/lib/python3.11/site-packages/grpc/aio/_call.py:5 f") == "grpc/aio/_call.py:5 f"
    assert short(f"{ROOT}/proxy/cli.py:1 main") == "proxy/cli.py:1 main"
    assert short("/x/lib/python3.11/enum.py:1 g") == "3.11/enum.py:1 g"
    assert short("<string>:1 h") == "<string>:1 h"
