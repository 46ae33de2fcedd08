"""Runs a module under a profiler that is idle until SIGUSR1: `python -m ops.bench.profiled KIND FILE MODULE [ARG]…`.

Start-up stays out of it: the experiment sends the signal when the first call has come back. FILE is written when the
module ends.

samples: a signal at each millisecond of the process's CPU time, or as often as the kernel's tick allows, notes the
stack of the event loop's thread; FILE is JSON, `{"samples": N, "cpu_s": S, "own": {FUNCTION: N}, "total": {…}}`. Little
is added to what is measured, and time in C counts for the Python function that called it. What other threads use
(grpc's) counts for the function that the loop's thread was in, or for the loop where that was idle.

calls: cProfile on the CPU time of the loop's thread. It counts each call, and stretches code that makes many, by about
a microsecond each; FILE is for pstats.
"""

from __future__ import annotations

import cProfile
import json
import os
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_S = 0.001


class Sampler:
    """Counts functions on the stack of the main thread, in samples."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._samples = 0
        self._cpu_s = 0.0

    def start(self) -> None:
        """Sample until `stop`."""
        self._cpu_s -= time.process_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> None:
        """Sample no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._cpu_s += time.process_time()

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self._samples += 1
        self._own[_name(frame.f_code)] += 1
        on_stack: set[str] = set()
        below: FrameType | None = frame
        while below is not None:
            on_stack.add(_name(below.f_code))
            below = below.f_back
        self._total.update(on_stack)

    def write(self, file: Path) -> None:
        """Leave the counts."""
        counts = {
            "samples": self._samples,
            "cpu_s": self._cpu_s,
            "own": self._own,
            "total": self._total,
        }
        file.write_text(json.dumps(counts))


def _name(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}"


def main() -> None:
    """Run the module."""
    kind, file, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    # The module may leave by SystemExit, and by nothing else than an error that is its own to show.
    try:
        if kind == "calls":
            profile = cProfile.Profile(time.thread_time)  # a thread that waits for a core costs nothing
            signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            finally:
                profile.disable()
                profile.dump_stats(file)
        else:
            sampler = Sampler()
            signal.signal(signal.SIGUSR1, lambda *_: sampler.start())
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            finally:
                sampler.stop()
                sampler.write(Path(file))
    finally:
        sys.stdout.flush()


def begin(pid: int) -> None:
    """Start the profiler of such a process."""
    os.kill(pid, signal.SIGUSR1)


if __name__ == "__main__":
    main()
