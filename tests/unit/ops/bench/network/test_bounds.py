from pathlib import Path

import pytest

from ops.bench.network.bounds import bound_weight
from ops.bench.network.requests import Request
from ops.bench.network.scenario import NetworkScenario, parse_scenario


def scenario(**link: object) -> NetworkScenario:
    source = {
        "classes": {"a": {"size": 12500, "deadline": 0.3, "weight": 2}},
        "link": {"rate": "1mbit", "delay": "10ms", **link},
        "arrivals": {"kind": "burst"},
    }
    return parse_scenario(source, directory=Path())


REQUESTS = [Request(number, "a", 0.0, 12500) for number in range(3)]


def test_what_the_link_can_carry_in_time() -> None:
    # 12500 bytes take 0.1 s each way and a little more with headers: the first is back after 0.22 s, the second after
    # 0.33 s.
    assert bound_weight(scenario(), REQUESTS) == pytest.approx(2.0)
    assert bound_weight(scenario(rate="10mbit"), REQUESTS) == pytest.approx(6.0)


def test_links_that_the_bound_knows_nothing_of_have_none() -> None:
    assert bound_weight(scenario(down={"rate": "2mbit"}), REQUESTS) is None
    assert bound_weight(scenario(changes=[{"at": "1s", "rate": "2mbit"}]), REQUESTS) is None
