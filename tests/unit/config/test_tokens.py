from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import read_tokens


def test_one_token_a_line(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("# from May on\nnew-token\n\n  old-token  \n", encoding="utf-8")
    assert read_tokens(path) == ("new-token", "old-token")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no token"),
        ("# only this\n\n", "holds no token"),
        ("good\nse cret\n", "line 2 is not a token"),
        ("sécret\n", "line 1 is not a token"),
        ("se\x00cret\n", "line 1 is not a token"),
    ],
)
def test_a_file_without_usable_tokens_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_tokens(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tokens(tmp_path / "token")
