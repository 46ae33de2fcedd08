"""The demo's language models inside Triton's Python backend: one class for both ways of asking.

`llm-SIZE` answers a `ModelInfer` with the whole completion; Triton's dynamic batcher hands over several requests at
once and they are generated together. `llm-stream-SIZE` is decoupled: `ModelStreamInfer` gets one response per byte,
and requests join a running batch between two bytes. Which of them a model is, its config.pbtxt says
(`model_transaction_policy`); its parameter `weights` names the model directory whose weights it uses.

A cancelled request leaves the batch within a few bytes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from byte_lm import ByteLM, load
from generation import Batch, Prompt

T = TypeVar("T")

DEFAULT_LENGTH = 32
"""Bytes generated for a request without MAX_TOKENS."""

MOST_ROWS = 8
"""Streams generated together; further ones wait. The unary models' limit is `max_batch_size`, the same number."""

ASK_EVERY_S = 0.002
"""Asking Triton whether a request was cancelled takes 0.05 to 0.2 ms, as long as a byte of the small model. So one
request is asked about at a time, in turn: with eight of them, a cancelled one is found within 16 ms or eight
bytes."""


def _invalid(problem: object) -> Any:
    return pb_utils.TritonError(str(problem), pb_utils.TritonError.INVALID_ARG)


def _cancelled() -> Any:
    return pb_utils.TritonError("cancelled by the client", pb_utils.TritonError.CANCELLED)


def _column(request: Any, name: str, default: float, rows: int) -> list[Any]:
    """An optional input, one value per row."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [default] * rows if tensor is None else tensor.as_numpy().reshape(-1).tolist()


def read_prompts(request: Any) -> list[Prompt]:
    """The rows of one request. Raises ValueError where a value is out of range."""
    texts = pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy().reshape(-1)
    lengths = _column(request, "MAX_TOKENS", DEFAULT_LENGTH, len(texts))
    temperatures = _column(request, "TEMPERATURE", 0.0, len(texts))
    seeds = _column(request, "SEED", 0, len(texts))
    return [
        Prompt(bytes(text), int(length), float(temperature), int(seed))
        for text, length, temperature, seed in zip(texts, lengths, temperatures, seeds, strict=True)
    ]


class Turns:
    """Whom to ask about next, and when."""

    def __init__(self) -> None:
        self._asked_at = 0.0
        self._turn = 0

    def next_of(self, running: Sequence[T]) -> T | None:
        """One of those running, another one each time; None while it is too early to ask again."""
        now = time.monotonic()
        if not running or now - self._asked_at < ASK_EVERY_S:
            return None
        self._asked_at = now
        self._turn += 1
        return running[self._turn % len(running)]


class Unary:
    """Whole completions, for all requests of one `execute` together."""

    def __init__(self, model: ByteLM) -> None:
        self._model = model

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request, in order."""
        failures: dict[int, Any] = {}
        prompts: dict[int, list[Prompt]] = {}
        for number, request in enumerate(requests):
            try:
                prompts[number] = read_prompts(request)
            except ValueError as problem:
                failures[number] = _invalid(problem)
        made = {prompt: bytearray() for rows in prompts.values() for prompt in rows}
        turns = Turns()
        batch = Batch(self._model)
        batch.join(list(made))
        while batch.rows:
            for chosen in batch.next_bytes():
                made[chosen.prompt].append(chosen.byte)
            asked = turns.next_of([number for number in prompts if number not in failures])
            if asked is not None and requests[asked].is_cancelled():
                failures[asked] = _cancelled()
                batch.advance(prompts[asked])
            else:
                batch.advance()
        return [
            pb_utils.InferenceResponse(error=failures[number])
            if number in failures
            else pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(
                        "COMPLETION", np.array([[bytes(made[row])] for row in prompts[number]], dtype=object)
                    ),
                    pb_utils.Tensor("TOKENS", np.array([[len(made[row])] for row in prompts[number]], dtype=np.int32)),
                ]
            )
            for number in range(len(requests))
        ]

    def finalize(self) -> None:
        """Nothing is held."""


class Streaming:
    """One response per byte, from a thread that keeps one batch going."""

    def __init__(self, model: ByteLM) -> None:
        self._batch = Batch(model)
        self._turns = Turns()
        self._model = model
        self._senders: dict[Prompt, Any] = {}
        self._waiting: deque[tuple[Prompt, Any]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="generate", daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue the requests; their responses come from the thread."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                (prompt,) = read_prompts(request)
            except ValueError as problem:
                _finish(sender, _invalid(problem))
                continue
            with self._changed:
                self._waiting.append((prompt, sender))
                self._changed.notify()

    def finalize(self) -> None:
        """Stop the thread. Triton calls this when no request is left."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while (joining := self._admit()) is not None:
            try:
                self._batch.join(joining)
                self._one_byte()
            except Exception as problem:  # noqa: BLE001 (the thread must outlive any failure, and each client must hear of it)
                pb_utils.Logger.log_error(f"generation failed: {problem!r}")
                error = pb_utils.TritonError(f"generation failed: {problem}", pb_utils.TritonError.INTERNAL)
                for sender in self._senders.values():
                    _finish(sender, error)
                self._senders.clear()
                self._batch = Batch(self._model)

    def _admit(self) -> list[Prompt] | None:
        """Wait until there is something to do; the prompts that may join now, or None when it is time to stop."""
        joining: list[Prompt] = []
        with self._changed:
            while not (self._waiting or self._senders or self._stopping):
                self._changed.wait()
            if self._stopping:
                return None
            while self._waiting and len(self._senders) < MOST_ROWS:
                prompt, sender = self._waiting.popleft()
                self._senders[prompt] = sender
                joining.append(prompt)
        return joining

    def _one_byte(self) -> None:
        leaving: set[Prompt] = set()
        asked = self._turns.next_of(self._batch.rows)
        for prompt, byte, last in self._batch.next_bytes():
            sender = self._senders[prompt]
            if prompt is asked and sender.is_cancelled():
                _finish(sender, _cancelled())
                leaving.add(prompt)
                continue
            token = pb_utils.Tensor("TOKEN", np.array([[bytes([byte])]], dtype=object))
            flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0
            sender.send(pb_utils.InferenceResponse([token]), flags=flags)
            if last:
                leaving.add(prompt)
        for prompt in leaving:
            del self._senders[prompt]
        self._batch.advance(leaving)


def _finish(sender: Any, error: Any) -> None:
    sender.send(pb_utils.InferenceResponse(error=error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


class TritonPythonModel:
    """What Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights; `args` is the backend's."""
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        # Several models share a demo's few cores: more threads each only make them wait for one another.
        torch.set_num_threads(int(parameters.get("threads", "1")))
        repository = Path(args["model_repository"]).parent
        model = load(repository / parameters["weights"] / args["model_version"] / "model.safetensors")
        decoupled = pb_utils.using_decoupled_model_transaction_policy(config)
        self._answers: Unary | Streaming = Streaming(model) if decoupled else Unary(model)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer the requests, or, when streaming, take them over."""
        return self._answers.execute(requests)

    def finalize(self) -> None:
        """Triton unloads the model."""
        self._answers.finalize()
