"""One function over many jobs, on several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from typing import TypeVar

Job = TypeVar("Job")
Found = TypeVar("Found")


def in_parallel(do: Callable[[Job], Found], jobs: Sequence[Job], *, processes: int) -> Iterator[tuple[int, Found]]:
    """What each job came to with its place among them, in the order in which they end.

    With one process everything runs in this one. Else new interpreters do the work, so `do` and the jobs must be
    picklable. A failure of a job is raised here, and Ctrl-C is for this process alone; either way, and when the caller
    stops asking, the others are ended at once. To be called from the main thread.
    """
    processes = min(processes, len(jobs))
    if processes <= 1:
        yield from ((place, do(job)) for place, job in enumerate(jobs))
        return
    there_before = set(active_children())
    executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    ended = False
    try:
        place_of = _submitted(executor, do, jobs)
        for future in as_completed(place_of):
            yield place_of[future], future.result()
        ended = True
    finally:
        if not ended:
            for child in set(active_children()) - there_before:
                child.terminate()
        executor.shutdown(wait=True, cancel_futures=True)  # it reaps its own


def _submitted(
    executor: ProcessPoolExecutor, do: Callable[[Job], Found], jobs: Sequence[Job]
) -> dict[Future[Found], int]:
    # The processes start here, and inherit that they are not interrupted: the terminal sends Ctrl-C to all of them.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return {executor.submit(do, job): place for place, job in enumerate(jobs)}
    finally:
        signal.signal(signal.SIGINT, before)
