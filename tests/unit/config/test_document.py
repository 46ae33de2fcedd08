from __future__ import annotations

import pytest

from proxy.config.document import Setting, settings_of
from proxy.config.records import Role


def by_flag(role: Role) -> dict[str, Setting]:
    return {setting.flag: setting for setting in settings_of(role)}


@pytest.mark.parametrize("role", ["proxy", "daemon"])
def test_no_flag_comes_twice(role: Role) -> None:
    flags = [setting.flag for setting in settings_of(role)]
    assert len(flags) == len(set(flags))


def test_a_flag_of_the_section() -> None:
    setting = by_flag("proxy")["--listen"]
    assert (setting.key, setting.variable, setting.metavar) == ("proxy.listen", "HEADWAY_PROXY__LISTEN", "HOST:PORT")
    assert setting.help == "Where clients connect. Default: 127.0.0.1:8001."


@pytest.mark.parametrize(
    ("flag", "key", "metavar", "end"),
    [
        ("--daemons", "proxy.daemons", "HOST:PORT,…", "joined by commas."),
        ("--tls-cert", "proxy.tls.cert", "PATH", "first."),
        ("--transport", "proxy.transport", "quic|tcp", "Default: quic."),
        ("--congestion-control", "proxy.congestion_control", "NAME", "Default: bbr."),
        ("--batch-window", "proxy.batch_window", "DURATION", "Default: 0ms."),
        ("--resolve-interval", "proxy.resolve_interval", "DURATION", "Default: 10s."),
        ("--drain", "proxy.drain", "DURATION", "Default: 30s."),
        ("--max-message-bytes", "proxy.max_message_bytes", "SIZE", "Default: 256MiB."),
        ("--max-datagram-bytes", "proxy.max_datagram_bytes", "SIZE", "Default: auto."),
        ("--stream-window", "proxy.stream_window", "SIZE", "Default: 1MiB."),
        ("--control-listen", "proxy.control_listen", "HOST:PORT", "with control_tls."),
        ("--control-tls-client-ca", "proxy.control_tls.client_ca", "PATH", "signed."),
        ("--server-name", "proxy.server_name", "NAME", "address."),
        ("--scheduler", "scheduler", "NAME", "Default: edf."),
        ("--health", "proxy.health", "HOST:PORT", "pass through."),
        ("--otlp-endpoint", "telemetry.otlp_endpoint", "URL", "traces_file."),
        ("--traces-file", "telemetry.traces_file", "PATH", "Default: headway-traces.jsonl."),
        ("--metrics-listen", "proxy.metrics_listen", "HOST:PORT", "telemetry.metrics_listen."),
    ],
)
def test_flags_of_the_proxy(flag: str, key: str, metavar: str, end: str) -> None:
    setting = by_flag("proxy")[flag]
    assert (setting.key, setting.metavar) == (key, metavar)
    assert setting.help.endswith(end)


def test_the_daemon_has_its_own() -> None:
    flags = by_flag("daemon")
    assert flags["--listen"].key == "daemon.listen"
    assert (flags["--health"].key, flags["--metrics-listen"].key) == ("daemon.health", "daemon.metrics_listen")
    assert flags["--idle-timeout"].variable == "HEADWAY_DAEMON__IDLE_TIMEOUT"
    assert not {"--daemons", "--tritons", "--routes", "--classes"} & set(flags)
