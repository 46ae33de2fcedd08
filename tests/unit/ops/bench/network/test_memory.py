from pathlib import Path
from typing import Any

import pytest

from ops.bench.certificates import make_certificates
from ops.bench.network.grid import Cell, Row
from ops.bench.network.memory import MemoryCell, check, memory_settings, run_memory_cell
from ops.bench.network.requests import Request
from ops.bench.network.run import CellRun
from ops.bench.scenario import ScenarioError
from ops.bench.visit import CellError
from ops.link import Change, LinkSettings
from policies.traffic import TrafficClass

CLASSES = {"urgent": TrafficClass("urgent", 1.0), "bulk": TrafficClass("bulk", 60.0)}
LINK = LinkSettings(rate_bits_s=1e6, delay_s=0.05)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    make_certificates(directory)
    return directory


def run(
    certs: Path,
    *requests: Request,
    scheduler: str = "edf",
    link: LinkSettings = LINK,
    **values: Any,
) -> CellRun:
    cell = Cell(Row("quic", scheduler, "cubic"), None, 1)
    spec = {"give_up_s": 60.0, "warm_up_calls": 2, **values}
    return run_memory_cell(MemoryCell(cell, requests, CLASSES, link, certs, **spec))


BULK_THEN_URGENT = (Request(0, "bulk", 0.0, 50_000), Request(1, "urgent", 0.2, 1000))


def test_a_request_takes_both_ways(certs: Path) -> None:
    (outcome,) = run(certs, Request(0, "urgent", 0.5, 1000)).outcomes
    assert (outcome.arrival_s, outcome.status) == (0.5, "OK")
    assert outcome.sent_s == pytest.approx(0.5)
    assert outcome.served_s is not None
    # At 1 Mbit/s 1000 bytes take 8 ms, and headers and the datagrams around them some 2 ms.
    assert 0.058 < outcome.served_s - outcome.arrival_s < 0.061
    assert outcome.latency_s is not None
    assert 0.116 < outcome.latency_s < 0.121


def test_the_scheduler_of_the_cell_decides(certs: Path) -> None:
    def urgent_latency_s(scheduler: str) -> float:
        _, urgent = run(certs, *BULK_THEN_URGENT, scheduler=scheduler).outcomes
        assert urgent.latency_s is not None
        return urgent.latency_s

    assert urgent_latency_s("edf") < 0.5 * urgent_latency_s("fcfs")


def test_a_cell_repeats_to_the_last_packet(certs: Path) -> None:
    lossy = LinkSettings(rate_bits_s=1e6, delay_s=0.05, loss=0.05)
    first, second = (run(certs, *BULK_THEN_URGENT, link=lossy) for _ in range(2))
    assert first.outcomes == second.outcomes
    assert first.link == second.link
    assert first.link["up"]["dropped"] > 0


def test_the_link_changes_when_the_scenario_says(certs: Path) -> None:
    slower = LinkSettings(rate_bits_s=1e6, delay_s=0.05, changes=(Change(0.1, {"delay_s": 0.5}),))
    before, after = run(certs, Request(0, "bulk", 0.0, 10), Request(1, "bulk", 1.0, 10), link=slower).outcomes
    assert before.latency_s is not None
    assert after.latency_s is not None
    assert after.latency_s - before.latency_s == pytest.approx(0.9, abs=0.02)


def test_a_request_that_takes_too_long_is_given_up(certs: Path) -> None:
    cut = LinkSettings(rate_bits_s=1e6, delay_s=0.05, changes=(Change(0.0, {"loss": 1.0}),))
    (outcome,) = run(certs, Request(0, "bulk", 0.1, 10), link=cut, give_up_s=1.0).outcomes
    assert (outcome.status, outcome.latency_s) == ("DEADLINE_EXCEEDED", None)


def test_a_link_that_nothing_passes_is_an_error(certs: Path) -> None:
    with pytest.raises(CellError, match="TimeoutError"):
        run(certs, Request(0, "bulk", 0.1, 10), link=LinkSettings(loss=1.0), give_up_s=2.0)


def test_the_same_link_in_memory() -> None:
    settings = memory_settings(LinkSettings(rate_bits_s=8e6, delay_s=0.05, loss=0.01, queue_bytes=15000, reorder=0.1))
    assert settings.rate_bytes_s == pytest.approx(1e6 * 1472 / 1500)
    assert settings.queue_bytes == pytest.approx(14720)
    assert (settings.mtu_bytes, settings.delay_s, settings.loss, settings.reorder) == (1472, 0.05, 0.01, 0.1)


@pytest.mark.parametrize(
    ("link", "key"),
    [
        (LinkSettings(jitter_s=0.01), "jitter"),
        (LinkSettings(loss=0.1, loss_burst=3.0), "loss_burst"),
        (LinkSettings(down={"jitter_s": 0.1}), "jitter"),
    ],
)
def test_what_the_link_in_memory_cannot_do_is_refused(link: LinkSettings, key: str) -> None:
    with pytest.raises(ScenarioError, match=rf"link\.{key}: not on the link in memory"):
        check(link)
