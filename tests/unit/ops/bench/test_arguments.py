from __future__ import annotations

import argparse

import pytest

from ops.bench.arguments import list_of


def test_a_list_and_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=list_of(int))
    assert parser.parse_args(["--seeds", "1,22,3"]).seeds == [1, 22, 3]
    with pytest.raises(SystemExit):
        parser.parse_args(["--seeds", "1,a"])
    assert "invalid comma-separated int value: '1,a'" in capsys.readouterr().err
