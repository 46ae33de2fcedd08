"""Where deadlines are lost on a link that is too slow one way: real processes, real sockets, 0.3 Mbit/s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.bench import headway
from ops.bench.certificates import make_certificates
from ops.bench.network.client import LEAD_S
from ops.bench.network.requests import Request, read_outcomes, write_requests
from ops.bench.processes import Child, Program, listens, python, started_together
from ops.link import EmulatedLink, LinkSettings
from tests.loopback.test_stages import server_spans, stages

pytestmark = pytest.mark.slow

PROXY = "127.0.0.1:8001"
DAEMON_PORT, BACKEND_PORT = 4433, 8101
TOKEN = "a-token-for-this-test-alone\n"
SLOW_BITS_S, FAST_BITS_S = 0.3e6, 50e6
DELAY_S = 0.02
SIZE = 75_000
"""2 s of the slow way. The deadline is after half of that, which is long for everything else."""
CLASSES = {"quick": {"deadline": "1s"}, "patient": {"deadline": "20s"}}


async def answered(client: Child, directory: Path, classes: Sequence[str]) -> list[float]:
    """Send a request of each class, all at once; how long each took, which all get their answers."""
    asked, outcomes = directory / "requests.json", directory / "outcomes.json"
    write_requests(asked, [Request(number, name, 0.0, SIZE) for number, name in enumerate(classes)])
    files = {"requests": str(asked), "outcomes": str(outcomes)}
    await client.ask({"run": PROXY, "seed": 1, "give_up": 20.0, **files}, limit_s=40.0 + LEAD_S)
    found = read_outcomes(outcomes)
    assert [one.status for one in found] == ["OK"] * len(classes)
    return [(one.done_s or 0.0) - one.sent_s for one in found]


async def test_a_deadline_is_lost_on_the_way_that_is_slow(tmp_path: Path) -> None:
    traces = tmp_path / "traces.jsonl"
    (tmp_path / "token").write_text(TOKEN)
    took_s: list[float] = []
    async with EmulatedLink(LinkSettings(delay_s=DELAY_S, rate_bits_s=FAST_BITS_S)) as link:
        daemon = f"{link.far.address}:{DAEMON_PORT}"
        own: dict[str, Any] = {
            "classes": CLASSES,
            "default_class": "patient",
            "proxy": {"daemons": [daemon], "server_name": "localhost"},
            "daemon": {"listen": daemon},
            "telemetry": {"traces_file": str(traces)},
        }
        content = headway.config(
            headway.HeadwaySettings(config=own),
            backend=f"127.0.0.1:{BACKEND_PORT}",
            proxy_address=PROXY,
            daemon_port=DAEMON_PORT,
            certificates=make_certificates(tmp_path),
            directory=tmp_path,
        )
        file = tmp_path / "headway.yaml"
        file.write_text(yaml.safe_dump(content))
        near, far = link.near.command, link.far.command
        programs = {
            "client": Program(near(python("ops.bench.network.client")), tmp_path / "client.log", talks=True),
            "proxy": Program(near(python("proxy.cli", "proxy", "-c", str(file))), tmp_path / "proxy.log", listens),
            "daemon": Program(far(python("proxy.cli", "daemon", "-c", str(file))), tmp_path / "daemon.log", listens),
            "backend": Program(far(python("ops.bench.network.backend", str(BACKEND_PORT))), tmp_path / "backend.log"),
        }
        async with started_together(programs, start_timeout_s=40.0) as children:
            client, *_ = children.values()
            await client.ask({"warm_up": PROXY, "calls": 3, "timeout": 30.0}, limit_s=40.0)
            for way in ("down", "up"):  # after the second the proxy would still send at that way's rate
                link.change(way, rate_bits_s=SLOW_BITS_S)
                took_s += await answered(client, tmp_path, ["quick"])
                link.change(way, rate_bits_s=FAST_BITS_S)
    down, up = server_spans(traces)["headway-proxy"][-2:]
    assert up["headway.deadline.missed_at"] == "uplink_transfer", stages(up)
    assert stages(up)["uplink_transfer"] > 1.5
    assert down["headway.deadline.missed_at"] == "downlink_transfer", stages(down)
    assert stages(down)["downlink_transfer"] > 1.5
    for span, took in zip((down, up), took_s, strict=True):
        assert min(stages(span).values()) >= 0
        assert sum(stages(span).values()) <= span["took_s"] + 1e-4
        # What the client sees besides is its own way to the proxy, on a machine that others use.
        assert took - span["took_s"] < 0.25
