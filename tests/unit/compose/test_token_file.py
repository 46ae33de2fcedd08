import os
from pathlib import Path

import pytest

from proxy.compose.token_file import TokenFile
from proxy.errors import HeadwayError
from proxy.testing.clock import ManualClock


def write(path: Path, text: str, *, modified_ns: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(modified_ns, modified_ns))


def test_without_a_file_there_are_no_tokens() -> None:
    tokens = TokenFile(None, clock=ManualClock())

    assert tokens.all() == ()
    assert tokens.first() == b""
    assert repr(tokens) == "<TokenFile None tokens=0>"


def test_the_first_token_is_the_one_to_show(tmp_path: Path) -> None:
    write(tmp_path / "token", "# proxies of the north\nnew\nold\n", modified_ns=1)
    tokens = TokenFile(tmp_path / "token", clock=ManualClock())

    assert tokens.all() == (b"new", b"old")
    assert tokens.first() == b"new"


def test_a_rotation_is_taken_up_within_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    write(tmp_path / "token", "old\n", modified_ns=1)
    tokens = TokenFile(tmp_path / "token", clock=clock)
    write(tmp_path / "token", "new\nold\n", modified_ns=2)

    assert tokens.all() == (b"old",)
    clock.advance(1.0)
    assert tokens.all() == (b"new", b"old")


def test_what_was_read_last_stays_while_the_file_is_bad(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    write(tmp_path / "token", "good\n", modified_ns=1)
    tokens = TokenFile(tmp_path / "token", clock=clock)
    write(tmp_path / "token", "\n", modified_ns=2)
    clock.advance(1.0)

    assert tokens.all() == (b"good",)
    assert f"token_file {tmp_path / 'token'}: holds no token; the tokens read before stay" in caplog.text
    assert "good" not in caplog.text


def test_a_file_that_cannot_be_read_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(HeadwayError, match=f"token_file {tmp_path / 'none'}: .*No such file"):
        TokenFile(tmp_path / "none", clock=ManualClock())
