from __future__ import annotations

import subprocess
from pathlib import Path

from proxy.commands.commit import commit


def test_where_no_repository_is_there_is_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) is None


def test_the_commit_says_whether_files_differ(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    file = tmp_path / "a"
    file.write_text("1", encoding="utf-8")
    git("add", "a")
    git("commit", "-m", "first")
    found = commit(tmp_path)
    assert found is not None
    assert len(found) == 40
    file.write_text("2", encoding="utf-8")
    assert commit(tmp_path) == f"{found}-dirty"
