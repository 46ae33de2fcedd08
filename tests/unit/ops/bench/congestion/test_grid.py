from typing import Any

from ops.bench.congestion.grid import PARTS, Cell, cell_of, cells, link_of, towards, usable
from ops.bench.congestion.scenario import CongestionScenario, Flow, parse_scenario
from ops.link import Change, Direction

BBR, CUBIC = Flow.parse("quic/bbr"), Flow.parse("kernel/cubic")


def scenario(**values: Any) -> CongestionScenario:
    source = {
        "link": {"rate": "5mbit", "delay": "50ms"},
        "seeds": [1, 2],
        "goodput": {"flows": ["quic/bbr"], "losses": [0, "2%"], "directions": ["up"]},
        "realtime": {"flows": ["quic/rr/cubic"], "deadlines": ["none", "7s"]},
        "fairness": {"pairs": [["quic/bbr", "kernel/cubic"]], "queues": [2]},
        "changes": {"flows": ["tcp/bbr"], "events": {"halved": [{"at": "3s", "rate": "2mbit"}]}},
        **values,
    }
    return parse_scenario(source)


def test_every_part_has_its_cells_seed_after_seed() -> None:
    found = cells(scenario(), PARTS)
    assert [cell.seed for cell in found] == [1] * 6 + [2] * 6
    assert {cell.setting for cell in found[:6]} == {cell.setting for cell in found[6:]}
    assert {str(cell) for cell in found if cell.seed == 1} == {
        "goodput, quic/edf/bbr, up, 5 Mbit/s, loss 0 %, queue 1 BDP, seed 1",
        "goodput, quic/edf/bbr, up, 5 Mbit/s, loss 2 %, queue 1 BDP, seed 1",
        "realtime, quic/rr/cubic, both, 5 Mbit/s, loss 0 %, queue 1 BDP, none, seed 1",
        "realtime, quic/rr/cubic, both, 5 Mbit/s, loss 0 %, queue 1 BDP, 7s, seed 1",
        "fairness, quic/edf/bbr + kernel/cubic, up, 5 Mbit/s, loss 0 %, queue 2 BDP, seed 1",
        "changes, tcp/bbr, up, 5 Mbit/s, loss 0 %, queue 1 BDP, halved, seed 1",
    }
    assert {cell.part for cell in cells(scenario(), ["fairness"])} == {"fairness"}


def test_a_cell_is_found_again_by_its_keys() -> None:
    for cell in cells(scenario(), PARTS):
        keys = cell.as_json()
        assert cell_of(keys) == cell
        assert (keys["transport"], keys["congestion_control"]) == (cell.flows[0].transport, cell.flows[0].control)


def test_the_link_of_a_cell() -> None:
    made = scenario()
    link = link_of(Cell("goodput", (BBR,), 2e7, 0.02, 1.5, "up", None, 1), made)
    assert (link.rate_bits_s, link.delay_s, link.loss, link.queue_bytes) == (2e7, 0.05, 0.02, 375_000)
    changing = link_of(Cell("changes", (BBR,), 5e6, 0.0, 1.0, "up", "halved", 1), made)
    assert changing.changes == (Change(3.0, {"rate_bits_s": 2e6}),)
    assert link_of(Cell("realtime", (BBR,), 5e6, 0.0, 1.0, "both", "7s", 1), made).changes == ()


def test_the_direction_that_a_cell_is_about() -> None:
    up, down, both = (Cell("goodput", (BBR,), 5e6, 0.0, 1.0, way, None, 1) for way in ("up", "down", "both"))
    assert [towards(cell) for cell in (up, down, both)] == [Direction.UP, Direction.DOWN, Direction.UP]


def test_what_cannot_be_run_here_is_left_out_with_a_reason() -> None:
    wanted = cells(scenario(seeds=[1]), PARTS)
    found, missing = usable(
        wanted, schedulers=["edf"], congestion_controls=["cubic", "bbr"], kernel_controls=["reno", "bbr"]
    )
    assert {cell.part for cell in found} == {"goodput", "changes"}
    assert missing == {"scheduler rr": "not in this version", "kernel/cubic": "not in this kernel"}
    found, missing = usable(wanted, schedulers=["edf", "rr"], congestion_controls=["cubic"], kernel_controls=["bbr"])
    assert {cell.part for cell in found} == {"realtime", "changes"}
    assert missing["congestion control bbr"] == "not in this version"
