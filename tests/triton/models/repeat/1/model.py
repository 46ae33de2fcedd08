"""Streams COUNT responses, 0 to COUNT - 1, DELAY_S seconds apart; the last carries the final flag.

With COUNT 0 there is nothing but the final flag. Each request has a thread, so that streams run side by side. A
cancelled one stops with status CANCELLED.
"""

import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

LOOK_EVERY_S = 0.005
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def _scalar(request: Any, name: str, default: float) -> float:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else float(tensor.as_numpy().reshape(-1)[0])


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def execute(self, requests: list[Any]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for request in requests:
            count = int(_scalar(request, "COUNT", 0))
            work = (request.get_response_sender(), count, _scalar(request, "DELAY_S", 0.0))
            thread = threading.Thread(target=self._stream, args=work)
            self._threads.append(thread)
            thread.start()

    def _stream(self, sender: Any, count: int, delay_s: float) -> None:
        for index in range(count):
            if self._wait_unless_cancelled(sender, delay_s if index else 0.0):
                error = pb_utils.TritonError("stream cancelled", pb_utils.TritonError.CANCELLED)
                sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)
                return
            output = pb_utils.Tensor("INDEX", np.array([index], dtype=np.int32))
            sender.send(pb_utils.InferenceResponse([output]), flags=FINAL if index + 1 == count else 0)
        if not count:
            sender.send(flags=FINAL)

    def _wait_unless_cancelled(self, sender: Any, delay_s: float) -> bool:
        while not sender.is_cancelled():
            if delay_s <= 0.0 or self._stopping.wait(min(delay_s, LOOK_EVERY_S)):
                return self._stopping.is_set()
            delay_s -= LOOK_EVERY_S
        return True

    def finalize(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=1.0)
