"""Sleeps for SLEEP_S seconds, one request at a time; wakes early, with status CANCELLED, when the request is
cancelled."""

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

LOOK_EVERY_S = 0.005
"""A model can only ask whether it was cancelled; nothing tells it."""


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._sleep(request) for request in requests]

    def _sleep(self, request: Any) -> Any:
        wanted_s = float(pb_utils.get_input_tensor_by_name(request, "SLEEP_S").as_numpy().reshape(-1)[0])
        started_at = time.monotonic()
        while (left_s := started_at + wanted_s - time.monotonic()) > 0.0:
            if request.is_cancelled():
                error = pb_utils.TritonError("woken by cancellation", pb_utils.TritonError.CANCELLED)
                return pb_utils.InferenceResponse(error=error)
            time.sleep(min(left_s, LOOK_EVERY_S))
        slept_s = np.array([[time.monotonic() - started_at]], dtype=np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SLEPT_S", slept_s)])
