from __future__ import annotations

import subprocess
import sys

import pytest

from ops.bench.__main__ import EXPERIMENTS, parser

WITHOUT = "import runpy, sys; sys.modules['{name}'] = None; runpy.run_module('ops.bench', run_name='__main__')"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert EXPERIMENTS[name].summary in shown
    assert "--quick" in shown


def test_an_installation_that_is_not_for_development_is_told_how_to_become_one() -> None:
    ended = _run(WITHOUT.format(name="trustme"))
    assert ended.returncode == 1
    assert ended.stderr == "the benchmarks need trustme, which the installation for development has: make install\n"


def test_a_module_of_our_own_that_is_missing_is_a_fault() -> None:
    ended = _run(WITHOUT.format(name="ops.bench.overhead"))
    assert "Traceback" in ended.stderr


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
