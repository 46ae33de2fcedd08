"""What needs no privileges; the rest is in tests/link."""

from __future__ import annotations

import pytest

from ops.link.emulated import EmulatedLink, Side
from ops.link.errors import LinkError


def test_a_side_knows_how_to_run_a_command_inside() -> None:
    far = Side("hw-12-0", "far")
    assert far.command(["ss", "-ti"]) == ["ip", "netns", "exec", "hw-12-0-far", "ss", "-ti"]
    assert (far.address, far.address6) == ("10.77.0.2", "fd77::2")
    assert repr(far) == "<Side hw-12-0-far 10.77.0.2>"


async def test_a_link_that_is_not_up_says_so() -> None:
    link = EmulatedLink()
    assert repr(link) == "<EmulatedLink not up>"
    for use in (
        link.statistics,
        link.mark,
        link.restart_clock,
        lambda: link.change(loss=0.5),
        lambda: link.shuttle_pid,
    ):
        with pytest.raises(LinkError, match="the link is not up"):
            use()
    assert await link.ended() == 0
