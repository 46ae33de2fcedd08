from ops.bench.end_to_end.grid import Cell, cell_of, cells
from tests.unit.ops.bench.end_to_end.pond import QUIC, TCP, scenario


def test_every_cell_once_seed_after_seed_in_another_order_each() -> None:
    pond = scenario(seeds=[1, 2])
    found = cells(pond, pond.columns)
    half = len(found) // 2
    assert half == 2 * 3
    assert len(set(found)) == len(found)
    assert {cell.seed for cell in found[:half]} == {1}
    assert [(cell.policy, cell.column) for cell in found[:half]] != [
        (cell.policy, cell.column) for cell in found[half:]
    ]
    assert cells(pond, pond.columns) == found


def test_a_cell_comes_back_from_its_keys() -> None:
    for column in (QUIC, TCP):
        cell = Cell("dqn", column, "stable", 3)
        assert cell_of(cell.as_json()) == cell
    assert str(Cell("dqn", QUIC, "stable", 3)) == "stable dqn quic/adaptive/bbr seed 3"
