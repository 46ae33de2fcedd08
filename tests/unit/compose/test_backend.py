import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.commands.certs import make_certs
from proxy.compose.backend import Daemon
from proxy.config import Available, load_config
from proxy.errors import ConfigError
from proxy.testing.ports import free_port


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    make_certs(tmp_path, now=datetime.now(UTC), force=True)
    return {
        "HEADWAY_DAEMON__LISTEN": "127.0.0.1:0",
        "HEADWAY_DAEMON__CERT": str(tmp_path / "daemon.pem"),
        "HEADWAY_DAEMON__KEY": str(tmp_path / "daemon.key"),
        "HEADWAY_DAEMON__TOKEN_FILE": str(tmp_path / "token"),
        "HEADWAY_DAEMON__TRITONS": f'{{a: {{url: "127.0.0.1:{free_port()}"}}, b: {{url: "127.0.0.1:{free_port()}"}}}}',
        "HEADWAY_DAEMON__DEFAULT": "b",
        "HEADWAY_DAEMON__ROUTES": (
            "{llm: {policy: round_robin, candidates: [{triton: a, model: m1, quality: 0.5},"
            " {triton: b, model: m2, quality: 0.7}]}}"
        ),
        "HEADWAY_TELEMETRY__TRACES_FILE": str(tmp_path / "traces.jsonl"),
    }


async def test_a_daemon_of_its_configuration(variables: dict[str, str]) -> None:
    daemon = Daemon(load_config(None, roles=["daemon"], environment=variables))
    await daemon.start()
    try:
        port = daemon.address.rpartition(":")[2]
        # One port for both transports.
        assert f"<QuicServer {port} " in repr(daemon)
        assert f"<TcpServer port={port} " in repr(daemon)
        assert daemon.dispatcher.policies() == {"llm": "round_robin"}
        assert set(daemon.dispatcher.statistics()) == {("a", "m1"), ("b", "m2")}
        assert "default triton 'b'" in repr(daemon)
        assert daemon.scheduler == "edf"
        daemon.use_scheduler("rr")
        assert daemon.scheduler == "rr"
        daemon.use_policy("llm", "static:m1")
        assert daemon.policies() == {"llm": "static:m1"}
        assert (daemon.calls, daemon.draining, daemon.tunnels) == (0, False, ())
        assert await daemon.drain()
        assert daemon.dispatcher.report().draining
    finally:
        await daemon.close()


async def test_a_port_that_is_taken_is_named_with_its_key(variables: dict[str, str]) -> None:
    first = Daemon(load_config(None, roles=["daemon"], environment=variables))
    await first.start()
    taken = {**variables, "HEADWAY_DAEMON__LISTEN": first.address}
    second = Daemon(load_config(None, roles=["daemon"], environment=taken))
    try:
        with pytest.raises(ConfigError) as error:
            await second.start()
        [problem] = error.value.problems
        assert problem == (
            f"HEADWAY_DAEMON__LISTEN: daemon.listen: can't listen on {first.address} (TCP): Address already in use"
        )
    finally:
        await second.close()
        await first.close()


async def test_a_profile_takes_effect_and_the_ways_back_are_those_of_the_tunnels(
    variables: dict[str, str], tmp_path: Path
) -> None:
    profile = tmp_path / "m1.yaml"
    profile.write_text("{format: 1, model: m1, latency: {1: 0.1, 4: 0.2}}", encoding="utf-8")
    routes = f"{{llm: {{policy: greedy, candidates: [{{triton: a, model: m1, quality: 0.5, profile: {profile}}}]}}}}"
    variables = {**variables, "HEADWAY_DAEMON__ROUTES": routes}
    config = load_config(None, roles=["daemon"], environment=variables, available=Available(policies=("greedy",)))
    daemon = Daemon(config)
    try:
        assert daemon.paths() == {}
        (candidate,) = daemon.dispatcher.candidates()["llm"]
        assert (candidate.name, candidate.quality, candidate.batch) == ("m1", 0.5, 1)
    finally:
        await daemon.close()
    profile.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"candidates\[0\].profile: .*m1.yaml: format"):
        Daemon(config)


async def test_health_of_its_own(variables: dict[str, str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    daemon = Daemon(load_config(None, roles=["daemon"], environment={**variables, "HEADWAY_DAEMON__HEALTH": address}))
    await daemon.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            check: Any = health_pb2_grpc.HealthStub(channel).Check

            async def status(service: str = "") -> int:
                return int((await check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)

            serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
            await daemon.dispatcher.probe.probe()
            assert [await status(), await status("liveness")] == [not_serving, serving]
    finally:
        await daemon.close()


async def test_a_daemon_that_drains_is_not_serving(variables: dict[str, str]) -> None:
    daemon = Daemon(load_config(None, roles=["daemon"], environment=variables))
    told = [daemon.serving]  # of backends that nobody has asked yet
    daemon.begin_drain()
    assert [*told, daemon.serving] == [True, False]
    await daemon.close()


async def test_a_health_port_that_is_taken_is_named_with_its_key(variables: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {**variables, "HEADWAY_DAEMON__HEALTH": address}
        daemon = Daemon(load_config(None, roles=["daemon"], environment=settings))
        try:
            with pytest.raises(ConfigError, match=r"daemon\.health: can't listen on .*Address already in use"):
                await daemon.start()
        finally:
            await daemon.close()
