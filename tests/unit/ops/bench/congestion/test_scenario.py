import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.bench.congestion.experiment import SHIPPED_SCENARIO
from ops.bench.congestion.scenario import CongestionScenario, Flow, parse_scenario, read_scenario
from ops.bench.scenario import ScenarioError

LINK = {"rate": "5mbit", "delay": "50ms"}


def scenario(**values: Any) -> CongestionScenario:
    return parse_scenario({"link": LINK, **values})


@pytest.mark.parametrize(
    ("text", "flow"),
    [
        ("quic/bbr", Flow("quic", "edf", "bbr")),
        ("quic/rr/cubic", Flow("quic", "rr", "cubic")),
        ("tcp/cubic", Flow("tcp", None, "cubic")),
        ("kernel/bbr", Flow("kernel", None, "bbr")),
    ],
)
def test_flows_are_written_in_a_word(text: str, flow: Flow) -> None:
    assert Flow.parse(text) == flow
    assert Flow.parse(str(flow)) == flow


@pytest.mark.parametrize("text", ["udp", "quic", "quic/", "tcp/edf/cubic", "udp/bbr", "quic/edf/bbr/x"])
def test_what_is_no_flow_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Flow.parse(text)


def test_values_are_read_as_links_write_them() -> None:
    read = scenario(
        goodput={"rates": ["5mbit", "20mbit"], "losses": [0, "0.5%"], "queues": [1, 2], "directions": ["up"]},
        fairness={"pairs": [["quic/bbr", "kernel/cubic"]], "join_at": 3},
        realtime={"bulk": [5, 2], "deadlines": ["none", "7s"]},
    )
    assert (read.rate_bits_s, read.round_trip_s) == (5e6, 0.1)
    assert (read.goodput.rates_bits_s, read.goodput.losses) == ((5e6, 2e7), (0.0, 0.005))
    assert read.fairness.pairs == ((Flow("quic", "edf", "bbr"), Flow("kernel", None, "cubic")),)
    assert (read.realtime.bulk_bytes, read.realtime.bulk_deadlines) == ((2.0, 5.0), ("none", "7s"))
    assert (read.seconds("goodput"), read.seconds("fairness"), read.seconds("changes")) == (20.0, 40.0, 30.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"link": {"rate": "5mbit"}}, "rate and delay are needed"),
        ({"link": {**LINK, "loss": "1%"}}, "link.loss: the parts have it"),
        ({"link": {**LINK, "delay": "soon"}}, "link.delay: 'soon' is not a time"),
        ({"goodput": {"flows": ["quic/bbr", "kernel/bbr"]}}, "goodput.flows: 'kernel/bbr' is no tunnel"),
        ({"goodput": {"flows": "quic/bbr"}}, "goodput.flows: 'quic/bbr' is not a list"),
        ({"goodput": {"losses": ["much"]}}, "goodput.losses: losses: 'much' is not a share"),
        ({"goodput": {"rates": 5}}, "goodput.rates: 5 is not a list"),
        ({"goodput": {"second": 5}}, "goodput.second is unknown; did you mean seconds?"),
        ({"fairness": {"pairs": [["quic/bbr"]]}}, "fairness.pairs: .* is not a list of pairs"),
        ({"fairness": {"pairs": [["quic/bbr", "x"]]}}, "fairness.pairs: 'x' is no flow"),
        ({"changes": {"events": {"odd": [{"rate": "1mbit"}]}}}, "changes.events.odd.changes"),
        ({"realtime": {"deadlines": "none"}}, "realtime.deadlines: 'none' is not a list"),
        ({"seed": [1]}, "seed is unknown; did you mean seeds?"),
    ],
)
def test_errors_name_the_key(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(**values)


def test_a_part_s_fingerprint_follows_what_its_cells_do_not_name() -> None:
    before = scenario()
    assert scenario(goodput={"seconds": 5}).fingerprint("goodput") != before.fingerprint("goodput")
    assert scenario(goodput={"seconds": 5}).fingerprint("fairness") == before.fingerprint("fairness")
    assert scenario(goodput={"losses": [0.1]}).fingerprint("goodput") == before.fingerprint("goodput")
    assert scenario(headway={"scheduler": "rr"}).fingerprint("changes") != before.fingerprint("changes")


def test_the_file_that_ships_is_read_and_quick_lays_on_it(tmp_path: Path) -> None:
    whole, quick = (read_scenario(SHIPPED_SCENARIO, quick=one) for one in (False, True))
    assert (whole.seeds, quick.seeds) == ((1, 2, 3), (1,))
    assert whole.goodput.losses == (0.0, 0.005, 0.02)
    assert quick.goodput.losses == (0.005,)
    assert (len(whole.changes.events), list(quick.changes.events)) == (4, ["rate halves"])
    assert "quick" not in quick.source
    assert read_scenario(SHIPPED_SCENARIO, over={"seeds": [9]}).seeds == (9,)
    file = tmp_path / "odd.yaml"
    file.write_text("link: 5")
    with pytest.raises(ScenarioError, match=r"odd\.yaml: link: 5 is not a mapping"):
        read_scenario(file)
    with pytest.raises(ScenarioError, match=r"none\.yaml"):
        read_scenario(tmp_path / "none.yaml")
