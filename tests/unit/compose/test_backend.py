from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.commands.certs import make_certs
from proxy.compose.backend import Daemon
from proxy.config import load_config
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
