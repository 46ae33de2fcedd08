from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from proxy.commands.certs import make_certs
from proxy.telemetry.certificate_metrics import CertificateFile, certificate_families
from tests.unit.telemetry.pages import values

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make_certs(folder / "old", now=NOW)
    make_certs(folder / "new", now=NOW + timedelta(days=100))
    return folder


def ends_at(path: Path) -> float:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()


def test_it_is_the_certificate_of_the_file_that_ends_first(certs: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes((certs / "new/ca.pem").read_bytes() + (certs / "old/ca.pem").read_bytes())
    assert CertificateFile("proxy.ca", both).ends_at() == ends_at(certs / "old/ca.pem") > NOW.timestamp()


@pytest.mark.parametrize(("read_again", "then"), [(False, "old"), (True, "new")])
def test_a_renewed_file_counts_where_it_is_read_again(certs: Path, tmp_path: Path, read_again: bool, then: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes((certs / "old/ca.pem").read_bytes())
    file = CertificateFile("proxy.ca", path, read_again=read_again)
    file.ends_at()
    path.write_bytes((certs / "new/ca.pem").read_bytes())
    os.utime(path, (1, 1))
    assert file.ends_at() == ends_at(certs / then / "ca.pem")


def test_what_cannot_be_read_is_left_out(certs: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("-")
    files = [
        CertificateFile("daemon.cert", certs / "old/daemon.pem"),
        CertificateFile("daemon.client_ca", tmp_path / "no.pem"),
        CertificateFile("daemon.control_tls.cert", tmp_path / "missing.pem"),
    ]
    found = values(certificate_families(files), "headway_certificate_expiry_timestamp_seconds")
    assert found == {("daemon.cert",): ends_at(certs / "old/daemon.pem")}
