"""An emulated model inside Triton's Python backend: one class for whole answers and for token streams.

One thread for each instance keeps the time, and sleeps until what is due next: no work but that of handing over.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ops.emulated.pacing import BatchPacing, RunningBatch, Spread, Stream

ASK_EVERY_S = 0.005
"""Asking Triton whether a stream was cancelled takes 0.05 to 0.2 ms, so one is asked about at a time, in turn."""

BEHIND_S = 0.1
"""A model that is this late with its tokens says so in Triton's log: the machine does not keep up."""
LOG_EVERY_S = 10.0

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def _number(request: Any, name: str, default: int) -> int:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else int(tensor.as_numpy().reshape(-1)[0])


def _keep_priority() -> None:
    """Give Triton's threads this process's nice value, which is that with which Triton was started.

    Triton 2.51 puts the threads that make batches and hand them over at nice 0. Where it was started with a lower one,
    because other programs use the machine, too, they would wait for those: 100 ms from batch to batch were seen.
    """
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for thread in Path(f"/proc/{os.getppid()}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended, or the kernel does not allow it
            if os.getpriority(os.PRIO_PROCESS, int(thread.name)) > own:
                os.setpriority(os.PRIO_PROCESS, int(thread.name), own)


def _sleep_until(at: float) -> None:
    while (left_s := at - time.monotonic()) > 0.0:
        time.sleep(left_s)


class Whole:
    """Whole answers, for all requests of one `execute` together."""

    def __init__(self, pacing: BatchPacing) -> None:
        self._pacing = pacing

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request, when the batch's time is over."""
        now = time.monotonic()
        rows = [int(pb_utils.get_input_tensor_by_name(request, "PAYLOAD").shape()[0]) for request in requests]
        ends_at = self._pacing.begin(sum(rows), now=now)
        answers = [
            np.zeros((count, _number(request, "ANSWER_BYTES", 0)), dtype=np.uint8)
            for request, count in zip(requests, rows, strict=True)
        ]
        responses = [pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", answer)]) for answer in answers]
        _sleep_until(ends_at)
        self._pacing.answered(now=time.monotonic())
        return responses

    def finalize(self) -> None:
        """Nothing is held."""


class Streamed:
    """Token streams, from a thread that keeps one batch going."""

    def __init__(self, batch: RunningBatch[tuple[Any, int]]) -> None:
        self._batch = batch
        self._arrived: list[tuple[float, Stream[tuple[Any, int]]]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._turn = 0
        self._asked_at = 0.0
        self._logged_at = 0.0
        self._thread = threading.Thread(target=self._run, name="tokens", daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue the requests; their responses come from the thread."""
        now = time.monotonic()
        for request in requests:
            prompt = pb_utils.get_input_tensor_by_name(request, "PROMPT")
            tokens = max(1, _number(request, "MAX_TOKENS", 1))
            owner = (request.get_response_sender(), _number(request, "ANSWER_BYTES", 0))
            stream = Stream(owner, int(prompt.shape()[-1]), tokens)
            with self._changed:
                self._arrived.append((now, stream))
                self._changed.notify()

    def finalize(self) -> None:
        """Stop the thread. Triton calls this when no request is left."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        at = time.monotonic()
        while not self._stopping:
            at = self._take(at)
            step = self._batch.step()
            if step is None:
                continue
            at += step.seconds
            self._ask_until(at)
            _sleep_until(at)
            for stream, last in self._batch.ended(step):
                sender, answer_bytes = stream.owner
                answer = pb_utils.Tensor("ANSWER", np.zeros(answer_bytes, dtype=np.uint8))
                sender.send(pb_utils.InferenceResponse([answer]), flags=FINAL if last else 0)
            self._note_lag(at)

    def _take(self, at: float) -> float:
        """Let in what has arrived, and wait for it where there is nothing to do; when the next step begins."""
        idle = not self._batch.sequences
        with self._changed:
            while idle and not self._arrived and not self._stopping:
                self._changed.wait()
            arrived, self._arrived = self._arrived, []
        for _, stream in arrived:
            self._batch.join(stream)
        return max(at, arrived[0][0]) if idle and arrived else at

    def _ask_until(self, at: float) -> None:
        """Ask about cancelled streams, while there is time and it is worth it."""
        streams = self._batch.sequences
        while streams and (now := time.monotonic()) < at:
            ask_at = self._asked_at + ASK_EVERY_S
            if ask_at >= at:
                return
            _sleep_until(max(now, ask_at))
            self._asked_at = time.monotonic()
            self._turn += 1
            stream = streams[self._turn % len(streams)]
            sender, _ = stream.owner
            if sender.is_cancelled():
                self._batch.leave(stream)
                streams.remove(stream)
                error = pb_utils.TritonError("cancelled by the client", pb_utils.TritonError.CANCELLED)
                sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)

    def _note_lag(self, at: float) -> None:
        now = time.monotonic()
        if now - at > BEHIND_S and now - self._logged_at > LOG_EVERY_S:
            self._logged_at = now
            pb_utils.Logger.log_warn(f"tokens are {1000 * (now - at):.0f} ms late: {self._batch}")


class TritonPythonModel:
    """What Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the times; `args` is the backend's."""
        settings = json.loads(args["model_config"])["parameters"]["pacing"]["string_value"]
        pacing = json.loads(settings)
        spread = Spread(pacing["deviation"], f"{pacing['seed']} {args['model_instance_name']}")
        self._priority_kept = False
        self._answers: Whole | Streamed
        if "batch" in pacing:
            self._answers = Whole(BatchPacing(pacing["batch"], spread))
        else:
            batch: RunningBatch[tuple[Any, int]] = RunningBatch(
                prefill_s=pacing["prefill"],
                prefill_s_per_token=pacing["prefill_per_token"],
                step_s=pacing["step"],
                spread=spread,
            )
            self._answers = Streamed(batch)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer the requests, or take them over."""
        if not self._priority_kept:  # when the model is loaded, its threads are not all there
            self._priority_kept = True
            _keep_priority()
        return self._answers.execute(requests)

    def finalize(self) -> None:
        """Triton unloads the model."""
        self._answers.finalize()
