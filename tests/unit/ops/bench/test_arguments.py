from __future__ import annotations

import argparse

import pytest

from ops.bench.arguments import list_of, seeds


def test_a_list_and_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=list_of(int))
    assert parser.parse_args(["--seeds", "1,22,3"]).seeds == [1, 22, 3]
    with pytest.raises(SystemExit):
        parser.parse_args(["--seeds", "1,a"])
    assert "invalid comma-separated int value: '1,a'" in capsys.readouterr().err


def test_seeds_and_ranges_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=seeds)
    assert parser.parse_args(["--seeds", "1,22,6-9"]).seeds == [1, 22, 6, 7, 8, 9]
    assert parser.parse_args(["--seeds=-1"]).seeds == [-1]  # for the scenario to refuse, in its own words
    for wrong in ("9-6", "1,", "a-b"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--seeds", wrong])
        assert f"invalid seeds value: '{wrong}'" in capsys.readouterr().err
