"""grpc's status codes to and from numbers."""

from __future__ import annotations

import grpc

_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def to_grpc(code: int) -> grpc.StatusCode:
    """Grpc's constant for a status number; UNKNOWN for a number that gRPC does not have."""
    return _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)


def from_grpc(code: grpc.StatusCode) -> int:
    """The status number of grpc's constant."""
    number: int = code.value[0]
    return number
