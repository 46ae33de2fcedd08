from __future__ import annotations

import pytest

from ops.bench.__main__ import EXPERIMENTS, parser


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert EXPERIMENTS[name].summary in shown
    assert "--quick" in shown
