from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from proxy.commands.certificates import CertificateCheck
from proxy.commands.certs import make_certs
from proxy.config import Config

Loader = Callable[[str], Config]

NOW = datetime(2026, 5, 2, tzinfo=UTC)

PROXY = "proxy: {daemons: [gpu-host:4433, 'localhost:1', '127.0.0.1:1', '[::1]:1'], ca: certs/ca.pem}\n"
DAEMON = "daemon: {cert: certs/daemon.pem, key: certs/daemon.key, tritons: {a: {url: 'localhost:1'}}}\n"
MUTUAL = (
    "proxy:\n  daemons: [gpu-host:4433]\n  ca: certs/ca.pem\n  token_file: certs/token\n"
    "  client_cert: certs/proxy.pem\n  client_key: certs/proxy.key\n"
    "  tls: {cert: certs/proxy.pem, key: certs/proxy.key, client_ca: certs/ca.pem}\n"
    "daemon:\n  cert: certs/daemon.pem\n  key: certs/daemon.key\n  client_ca: certs/ca.pem\n"
    "  token_file: certs/token\n  tritons: {a: {url: 'localhost:1'}}\n"
)


def found(home: Path, config: Config, now: datetime = NOW) -> list[str]:
    lines = CertificateCheck(config, now).run()
    return [line.replace(f"{home}/headway.yaml", "F").replace(str(home), "HOME") for line in lines]


@pytest.mark.parametrize("text", [PROXY, DAEMON, PROXY + DAEMON, MUTUAL])
def test_a_set_that_fits_has_no_problem(home: Path, load: Loader, text: str) -> None:
    assert found(home, load(text)) == []


def test_expired_and_not_yet_valid(home: Path, load: Loader) -> None:
    config = load(PROXY + DAEMON)
    assert found(home, config, NOW + timedelta(days=400)) == [
        "F:2: daemon.cert: HOME/certs/daemon.pem: CN=headway daemon expired on 2027-06-02"
    ]
    early = found(home, config, NOW - timedelta(days=30))
    assert len(early) == 2
    assert early[1] == "F:2: daemon.cert: HOME/certs/daemon.pem: CN=headway daemon is not valid before 2026-05-01"


def test_a_key_of_another_certificate(home: Path, load: Loader) -> None:
    assert found(home, load(DAEMON.replace("daemon.key", "proxy.key"))) == [
        (
            "F:1: daemon.key: HOME/certs/proxy.key is not the key of HOME/certs/daemon.pem; "
            "allowed: `headway certs` makes a set that fits together"
        )
    ]


def test_certificates_of_the_control_service(home: Path, load: Loader) -> None:
    control = "  control_listen: 'gpu-host:8009'\n  control_tls: {cert: CERT, key: certs/daemon.key, client_ca: CA}\n"
    text = "proxy:\n  daemons: ['localhost:1']\n" + control
    fits = text.replace("CERT", "certs/daemon.pem").replace("CA", "certs/ca.pem")
    assert found(home, load(fits)) == []
    wrong = text.replace("CERT", "certs/proxy.pem").replace("CA", "certs/token")
    assert found(home, load(wrong)) == [
        (
            "F:4: proxy.control_tls.key: HOME/certs/daemon.key is not the key of HOME/certs/proxy.pem; "
            "allowed: `headway certs` makes a set that fits together"
        ),
        "F:4: proxy.control_tls.client_ca: HOME/certs/token holds no certificate; allowed: certificates in PEM",
    ]


def test_files_that_are_something_else(home: Path, load: Loader) -> None:
    text = DAEMON.replace("certs/daemon.key", "certs/token").replace("certs/daemon.pem", "certs/daemon.key")
    assert found(home, load(text)) == [
        "F:1: daemon.cert: HOME/certs/daemon.key holds no certificate; allowed: certificates in PEM",
        "F:1: daemon.key: HOME/certs/token is not a private key; allowed: a private key in PEM",
    ]


def test_a_key_with_a_password(home: Path, load: Loader) -> None:
    path = home / "certs" / "daemon.key"
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    path.write_bytes(encrypted)
    assert found(home, load(DAEMON)) == [
        "F:1: daemon.key: HOME/certs/daemon.key is encrypted; allowed: a private key in PEM without a password"
    ]


def test_another_ca(home: Path, load: Loader) -> None:
    make_certs(home / "other", now=NOW)
    assert found(home, load(PROXY.replace("certs/", "other/") + DAEMON)) == [
        (
            "F:1: proxy.ca: HOME/other/ca.pem does not vouch for daemon.cert: unable to get local issuer certificate; "
            "allowed: `headway certs` makes a set that fits together"
        )
    ]
    text = MUTUAL.replace("client_ca: certs/ca.pem\n  token", "client_ca: other/ca.pem\n  token")
    (line,) = found(home, load(text))
    assert line.startswith("F:11: daemon.client_ca: HOME/other/ca.pem does not vouch for proxy.client_cert: ")


@pytest.mark.parametrize("host", ["gpu-hos", "sub.gpu-host", "10.0.0.7"])
def test_a_name_that_the_certificate_lacks(home: Path, load: Loader, host: str) -> None:
    text = f"proxy: {{daemons: ['{host}:4433'], ca: certs/ca.pem}}\n"
    assert found(home, load(text + DAEMON)) == [
        (
            f"F:1: proxy.daemons: daemon.cert is not for '{host}'; "
            "allowed: localhost, 127.0.0.1, ::1, gpu-host; or set proxy.server_name"
        )
    ]
    assert found(home, load(text.replace("ca:", "server_name: gpu-host, ca:") + DAEMON)) == []
    (line,) = found(home, load(text.replace("ca:", "server_name: gpu, ca:") + DAEMON))
    assert line.startswith("F:1: proxy.server_name: daemon.cert is not for 'gpu'; ")


def test_what_the_daemon_asks_for_and_the_proxy_lacks(home: Path, load: Loader) -> None:
    text = PROXY + DAEMON.replace("{cert", "{client_ca: certs/ca.pem, token_file: certs/token, cert")
    assert found(home, load(text)) == [
        "F:2: daemon.client_ca: asks proxies for a certificate, and there is no proxy.client_cert",
        "F:2: daemon.token_file: asks proxies for a token, and there is no proxy.token_file",
    ]


def test_tokens_that_do_not_fit(home: Path, load: Loader) -> None:
    (home / "certs" / "new").write_text("new-token\n", encoding="utf-8")
    (line,) = found(home, load(MUTUAL.replace("certs/token", "certs/new", 1)))
    assert line == "F:4: proxy.token_file: its first token is none of those in daemon.token_file"
    token = (home / "certs" / "token").read_text(encoding="utf-8")
    (home / "certs" / "token").write_text(f"{token}new-token\n", encoding="utf-8")
    assert found(home, load(MUTUAL.replace("certs/token", "certs/new", 1))) == []
