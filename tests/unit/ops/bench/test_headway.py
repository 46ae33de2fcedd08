from pathlib import Path

import pytest
import yaml

from ops.bench.certificates import make_certificates
from ops.bench.headway import HeadwaySettings, config, merged
from proxy.config import load_config


def test_settings_are_laid_on_mapping_by_mapping() -> None:
    base = {"proxy": {"listen": "a", "transport": "quic"}, "scheduler": "edf"}
    over = {"proxy": {"transport": "tcp"}, "scheduler": "rr", "telemetry": {"metrics_listen": "b"}}
    assert merged(base, over) == {
        "proxy": {"listen": "a", "transport": "tcp"},
        "scheduler": "rr",
        "telemetry": {"metrics_listen": "b"},
    }
    assert base["proxy"] == {"listen": "a", "transport": "quic"}


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_headway_accepts_the_file(tmp_path: Path, role: str) -> None:
    (tmp_path / "token").write_text("secret\n")
    content = config(
        HeadwaySettings(transport="tcp", config={"proxy": {"batch_window": "1ms"}, "scheduler": "rr"}),
        backend="127.0.0.1:8001",
        proxy_address="127.0.0.1:8002",
        daemon_port=4433,
        certificates=make_certificates(tmp_path),
        directory=tmp_path,
    )
    file = tmp_path / "headway.yaml"
    file.write_text(yaml.safe_dump(content))
    read = load_config(file, roles=["proxy"] if role == "proxy" else ["daemon"])
    assert read.scheduler == "rr"
    assert (read.require_proxy().transport, read.require_proxy().batch_window_s) == ("tcp", 0.001)
    assert [str(triton.url) for triton in read.require_daemon().tritons.values()] == ["127.0.0.1:8001"]
