"""The error tree, gRPC's status codes, and the one table between them and HTTP/3's error codes.

Status codes: https://grpc.github.io/grpc/core/md_doc_statuscodes.html. HTTP/3 codes: RFC 9114 section 8.1; their gRPC
meaning follows the mapping of HTTP/2's codes in gRPC's wire description (PROTOCOL-HTTP2.md, "Errors"), code for code.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class H3Code(IntEnum):
    """HTTP/3 error codes that a gRPC peer sends or acts on (RFC 9114 section 8.1)."""

    NO_ERROR = 0x100
    GENERAL_PROTOCOL_ERROR = 0x101
    INTERNAL_ERROR = 0x102
    FRAME_UNEXPECTED = 0x105
    FRAME_ERROR = 0x106
    EXCESSIVE_LOAD = 0x107
    REQUEST_REJECTED = 0x10B
    REQUEST_CANCELLED = 0x10C
    REQUEST_INCOMPLETE = 0x10D
    MESSAGE_ERROR = 0x10E


STATUS_OF_RESET: dict[int, Code] = {
    H3Code.NO_ERROR: Code.INTERNAL,
    H3Code.GENERAL_PROTOCOL_ERROR: Code.INTERNAL,
    H3Code.INTERNAL_ERROR: Code.INTERNAL,
    H3Code.EXCESSIVE_LOAD: Code.RESOURCE_EXHAUSTED,
    H3Code.REQUEST_REJECTED: Code.UNAVAILABLE,
    H3Code.REQUEST_CANCELLED: Code.CANCELLED,
}
"""What a reset answer means to the caller. A code that is not here: INTERNAL."""


def status_of_reset(error_code: int) -> Code:
    """The gRPC status of an answer that was reset with an HTTP/3 error code."""
    return STATUS_OF_RESET.get(error_code, Code.INTERNAL)


class HeadwayError(Exception):
    """Root of what headway raises on purpose. The text is meant for the person who can mend it."""


class ConfigError(HeadwayError):
    """The configuration can't be used.

    `problems` has a line for each thing wrong, naming file, key and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CallError(HeadwayError):
    """A call ends with this status; raised below the relay, caught by whoever finishes the call."""

    def __init__(self, code: Code, message: str, *, reason: str = "") -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        """Value for the `x-headway-dropped-reason` trailer; empty for none."""


class TunnelProtocolError(HeadwayError):
    """The peer at the other end of the tunnel broke gRPC's or HTTP/3's rules on one stream; only that stream ends."""

    def __init__(self, message: str, *, code: Code = Code.INTERNAL, h3_code: H3Code = H3Code.MESSAGE_ERROR) -> None:
        super().__init__(message)
        self.code = code
        self.h3_code = h3_code
