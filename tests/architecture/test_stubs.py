"""What is generated from `proto/` is what is checked in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.stubs import PROTO, STUBS, GenerationError, contents, generate, sources

STALE = "run `make proto` and commit proxy/pb"


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    protos = sources()
    assert protos, f"{PROTO} has no sources"
    generate(tmp_path / "pb", protos)
    assert contents(tmp_path / "pb") == contents(STUBS), STALE


def test_a_changed_source_shows(tmp_path: Path) -> None:
    source = tmp_path / "proto" / "thing.proto"
    source.parent.mkdir()
    source.write_text('syntax = "proto3";\nmessage Thing { int64 one = 1; }\n', encoding="utf-8")
    generate(tmp_path / "before", [source], source.parent)
    source.write_text('syntax = "proto3";\nmessage Thing { int64 two = 1; }\n', encoding="utf-8")
    generate(tmp_path / "after", [source], source.parent)
    assert contents(tmp_path / "before") != contents(tmp_path / "after")


def test_a_source_that_is_wrong_is_not_generated(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "thing.proto"
    source.write_text("message {", encoding="utf-8")
    with pytest.raises(GenerationError):
        generate(tmp_path / "pb", [source], tmp_path)
    assert "thing.proto" in capfd.readouterr().err
