from pathlib import Path

from policies.selection.registry import POLICIES
from proxy.config import Address, load_config
from proxy.config.values import Available
from proxy.demo.configuration import DemoSetting, model_qualities, write_configuration
from proxy.demo.triton_server import model_repository


def test_the_configuration_is_one_that_headway_takes(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    for name in ("ca.pem", "daemon.pem", "daemon.key", "token"):
        (certs / name).write_text("x")
    path = write_configuration(
        DemoSetting(
            folder=tmp_path,
            proxy_port=8001,
            daemon_port=4433,
            proxy_control_port=8009,
            daemon_control_port=8010,
            triton_url="127.0.0.1:8101",
            qualities={"large": 0.7, "medium": 0.6, "small": 0.5},
            traces_file=tmp_path / "traces.jsonl",
        )
    )
    available = Available(policies=tuple(POLICIES))
    config = load_config(path, roles=("proxy", "daemon"), environment={}, available=available)
    assert config.notes() == []
    proxy, daemon = config.require_proxy(), config.require_daemon()
    assert proxy.listen == Address("127.0.0.1", 8001)
    assert proxy.daemons == (daemon.listen,) == (Address("127.0.0.1", 4433),)
    assert proxy.control_listen == Address("127.0.0.1", 8009)
    assert daemon.control_listen == Address("127.0.0.1", 8010)
    assert config.telemetry.traces_file == tmp_path / "traces.jsonl"
    assert {name: one.deadline_s for name, one in config.traffic.classes.items()} == {
        "realtime": 1.0,
        "standard": 2.0,
        "bulk": 7.0,
    }
    assert {name: [(one.model, one.quality) for one in route.candidates] for name, route in daemon.routes.items()} == {
        "llm": [("llm-large", 0.7), ("llm-medium", 0.6), ("llm-small", 0.5)],
        "llm-stream": [("llm-stream-large", 0.7), ("llm-stream-medium", 0.6), ("llm-stream-small", 0.5)],
    }


def test_larger_models_are_better() -> None:
    qualities = model_qualities(model_repository())
    assert 0.3 < qualities["small"] < qualities["medium"] < qualities["large"] < 1.0
