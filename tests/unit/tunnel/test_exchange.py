from __future__ import annotations

import pytest

from policies.traffic import Deadline
from proxy.errors import Code
from proxy.tunnel.exchange import CallHead, CallStatus


def test_other_metadata_change_nothing_else_of_a_head() -> None:
    head = CallHead(
        "/pkg.Service/Method",
        (("a", "1"),),
        traffic_class="realtime",
        deadline=Deadline(5.0, 6.0),
        peer="10.0.0.7:51234",
        accepted_at=4.0,
        unary=True,
    )
    assert head.with_metadata((("b", "2"),)) == CallHead(
        "/pkg.Service/Method",
        (("b", "2"),),
        traffic_class="realtime",
        deadline=Deadline(5.0, 6.0),
        peer="10.0.0.7:51234",
        accepted_at=4.0,
        unary=True,
    )
    assert head.metadata == (("a", "1"),)


@pytest.mark.parametrize(("code", "ok"), [(Code.OK, True), (0, True), (Code.CANCELLED, False), (99, False)])
def test_only_status_0_is_ok(code: int, ok: bool) -> None:
    assert CallStatus(code).ok is ok


def test_a_status_is_final() -> None:
    with pytest.raises(AttributeError):
        CallStatus(Code.OK).code = 1  # type: ignore[misc]
