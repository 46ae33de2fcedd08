from __future__ import annotations

import grpc
import pytest

from proxy.errors import CallError, Code, ConfigError, H3Code, HeadwayError, TunnelProtocolError, status_of_reset


def test_codes_are_grpc_s() -> None:
    assert {code.name: int(code) for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}


@pytest.mark.parametrize(
    ("error_code", "status"),
    [
        (0x100, Code.INTERNAL),
        (0x101, Code.INTERNAL),
        (0x102, Code.INTERNAL),
        (0x107, Code.RESOURCE_EXHAUSTED),
        (0x10B, Code.UNAVAILABLE),
        (0x10C, Code.CANCELLED),
        (0x10E, Code.INTERNAL),
        (0x33, Code.INTERNAL),
        (2**62 - 1, Code.INTERNAL),
    ],
)
def test_what_a_reset_means(error_code: int, status: Code) -> None:
    assert status_of_reset(error_code) is status


def test_one_root() -> None:
    assert all(issubclass(leaf, HeadwayError) for leaf in (ConfigError, CallError, TunnelProtocolError))


def test_a_configuration_error_is_its_problems_line_by_line() -> None:
    error = ConfigError(["headway.yaml:3: a", "headway.yaml:5: b"])
    assert str(error) == "headway.yaml:3: a\nheadway.yaml:5: b"
    assert error.problems == ["headway.yaml:3: a", "headway.yaml:5: b"]


def test_a_call_error_names_its_status() -> None:
    error = CallError(Code.NOT_FOUND, "no such model", reason="rejected-no-backend")
    assert str(error) == "NOT_FOUND: no such model"
    assert (error.code, error.message, error.reason) == (Code.NOT_FOUND, "no such model", "rejected-no-backend")
    assert CallError(Code.ABORTED, "x").reason == ""


def test_a_protocol_error_is_internal_and_malformed_unless_it_says_otherwise() -> None:
    assert (TunnelProtocolError("x").code, TunnelProtocolError("x").h3_code) == (Code.INTERNAL, H3Code.MESSAGE_ERROR)
    other = TunnelProtocolError("x", code=Code.RESOURCE_EXHAUSTED, h3_code=H3Code.REQUEST_CANCELLED)
    assert (other.code, other.h3_code) == (Code.RESOURCE_EXHAUSTED, 0x10C)
