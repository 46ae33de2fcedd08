"""Adds up the VALUEs of a sequence; each response is the SUM so far."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._sums: dict[int, int] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._add(request) for request in requests]

    def _add(self, request: Any) -> Any:
        value, start, sequence = (
            int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0])
            for name in ("VALUE", "START", "CORRID")
        )
        self._sums[sequence] = value + (0 if start else self._sums.get(sequence, 0))
        output = pb_utils.Tensor("SUM", np.array([[self._sums[sequence]]], dtype=np.int32))
        return pb_utils.InferenceResponse([output])
