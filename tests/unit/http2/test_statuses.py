from __future__ import annotations

import grpc
import pytest

from proxy.http2.statuses import from_grpc, to_grpc


@pytest.mark.parametrize(
    ("number", "code"),
    [(0, grpc.StatusCode.OK), (4, grpc.StatusCode.DEADLINE_EXCEEDED), (16, grpc.StatusCode.UNAUTHENTICATED)],
)
def test_there_and_back(number: int, code: grpc.StatusCode) -> None:
    assert to_grpc(number) is code
    assert from_grpc(code) == number


def test_every_code_of_grpc() -> None:
    assert sorted(map(from_grpc, grpc.StatusCode)) == list(range(17))
    assert {to_grpc(number) for number in range(17)} == set(grpc.StatusCode)


@pytest.mark.parametrize("number", [-1, 17, 99])
def test_a_number_that_is_no_code_is_unknown(number: int) -> None:
    assert to_grpc(number) is grpc.StatusCode.UNKNOWN
