from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.commands.certs import CertsError, make_certs
from proxy.config import read_tokens

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def alternative_names(leaf: x509.Certificate) -> list[object]:
    return [name.value for name in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def test_makes_the_six_files(tmp_path: Path) -> None:
    out = tmp_path / "new" / "certs"
    paths = make_certs(out, now=NOW)
    assert all(path.parent == out for path in paths)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in paths}
    assert modes == {
        "ca.pem": "0o644",
        "daemon.pem": "0o644",
        "daemon.key": "0o600",
        "proxy.pem": "0o644",
        "proxy.key": "0o600",
        "token": "0o600",
    }


def test_the_token_is_32_random_bytes(tmp_path: Path) -> None:
    make_certs(tmp_path / "one", now=NOW)
    make_certs(tmp_path / "two", now=NOW)
    (one,), (two,) = read_tokens(tmp_path / "one" / "token"), read_tokens(tmp_path / "two" / "token")
    assert one != two
    assert len(one) == 43  # 32 bytes in URL-safe base64 without padding


@pytest.mark.parametrize("who", ["daemon", "proxy"])
def test_certificates_are_signed_by_the_ca_and_match_their_keys(tmp_path: Path, who: str) -> None:
    make_certs(tmp_path, now=NOW)
    ca, leaf = certificate(tmp_path / "ca.pem"), certificate(tmp_path / f"{who}.pem")
    leaf.verify_directly_issued_by(ca)
    key = serialization.load_pem_private_key((tmp_path / f"{who}.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == leaf.public_key()
    assert leaf.not_valid_before_utc == NOW - timedelta(hours=1)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=397)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_names_are_this_machine_and_the_hosts_asked_for(tmp_path: Path) -> None:
    make_certs(tmp_path, hosts=["gpu-host", "10.0.0.7", "localhost", "fd00::7"], now=NOW)
    assert alternative_names(certificate(tmp_path / "daemon.pem")) == [
        "localhost",
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
        "gpu-host",
        ipaddress.ip_address("10.0.0.7"),
        ipaddress.ip_address("fd00::7"),
    ]


def test_openssl_takes_them_for_tls(tmp_path: Path) -> None:
    make_certs(tmp_path, hosts=["gpu-host"], now=datetime.now(UTC))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    server.load_cert_chain(tmp_path / "daemon.pem", tmp_path / "daemon.key")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.load_cert_chain(tmp_path / "proxy.pem", tmp_path / "proxy.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="gpu-host"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(3):  # TLS 1.3: hello, answer, finished
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    peer = ends[1].getpeercert()
    assert peer is not None
    assert peer["subject"] == ((("commonName", "headway proxy"),),)


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "daemon.key").write_text("mine", encoding="utf-8")
    with pytest.raises(CertsError, match=r"has daemon\.key already; --force replaces them$"):
        make_certs(tmp_path, now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["daemon.key"]
    assert (tmp_path / "daemon.key").read_text(encoding="utf-8") == "mine"
    make_certs(tmp_path, now=NOW, force=True)
    assert (tmp_path / "daemon.key").read_text(encoding="utf-8").startswith("-----BEGIN PRIVATE KEY-----")
    assert (tmp_path / "daemon.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("host", ["", "a b", "gpu:4433", "http://gpu", "x" * 64])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(CertsError, match="is neither a host name nor an IP address"):
        make_certs(tmp_path / "certs", hosts=[host], now=NOW)
    assert not (tmp_path / "certs").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("-", encoding="utf-8")
    with pytest.raises(CertsError, match="file/certs cannot be written: Not a directory"):
        make_certs(tmp_path / "file" / "certs", now=NOW)
