from __future__ import annotations

import importlib

import pytest

from proxy.commands.extras import MissingExtraError, from_extra


def test_a_missing_package_is_one_line_with_the_command() -> None:
    with pytest.raises(MissingExtraError) as raised, from_extra("daemon", "the daemon"):
        importlib.import_module("package_of_the_extra.part")
    assert str(raised.value) == 'the daemon needs more packages: pip install "headway[daemon]"'


def test_a_fault_of_our_own_is_none() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"proxy\.gone"), from_extra("demo", "the demo"):
        importlib.import_module("proxy.gone")
    with pytest.raises(ImportError, match="cannot import name"), from_extra("demo", "the demo"):
        raise ImportError("cannot import name 'x' from 'numpy'")
