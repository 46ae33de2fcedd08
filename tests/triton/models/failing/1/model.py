"""Like `echo`, unless the first string of INPUT asks for a failure.

`error:CODE:text` answers with that error (CODE is one of TritonError's: INTERNAL, NOT_FOUND, INVALID_ARG,
UNAVAILABLE, UNKNOWN, UNSUPPORTED, ALREADY_EXISTS, CANCELLED), `raise:text` raises in `execute`, `exit` ends the
model's process.
"""

import os
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        strings = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
        kind, _, rest = (
            bytes(strings.reshape(-1)[0]).decode(errors="replace").partition(":") if strings.size else ("", "", "")
        )
        if kind == "raise":
            raise ValueError(rest)
        if kind == "exit":
            os._exit(1)
        if kind == "error":
            code, _, text = rest.partition(":")
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, getattr(pb_utils.TritonError, code)))
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", strings)])
