import pytest

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.simulated import simulated
from tests.unit.ops.bench.end_to_end.pond import QUIC, TCP, scenario


def test_a_cell_in_the_simulator() -> None:
    pond = scenario()
    good = simulated(pond, Cell("static:small", QUIC, "stable", 1))
    assert good["score"] == pytest.approx(0.5)
    assert (good["on_time"], good["models"]["small"]) == (1.0, 1.0)
    assert good["by_class"]["fast"] == {"on_time": 1.0}
    lossy = scenario(link={"rate": "10mbit", "delay": "50ms", "loss": "20%"})
    assert simulated(lossy, Cell("static:small", TCP, "stable", 1))["score"] < 0.5
