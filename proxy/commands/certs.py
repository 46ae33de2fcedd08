"""`headway certs`: a private CA, certificates for a daemon and a proxy, and a token, for trials."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.errors import HeadwayError

NAMES = ("ca.pem", "daemon.pem", "daemon.key", "proxy.pem", "proxy.key", "token")
"""The files, all of them made together."""

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names of the daemon's certificate where none are asked for."""

CA_DAYS = 3650
LEAF_DAYS = 397
"""The longest that browsers and most TLS stacks accept for a server's certificate (CA/Browser Forum, ballot SC31)."""

BACKDATE = timedelta(hours=1)
"""Certificates are valid from an hour ago, for machines whose clocks run behind."""

TOKEN_BYTES = 32

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


class CertsError(HeadwayError):
    """The files can't be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_certs(out: Path, *, hosts: Sequence[str] = (), now: datetime, force: bool = False) -> tuple[Path, ...]:
    """Write the files of `NAMES`; return their paths.

    `hosts` are the names and IP addresses by which proxies reach the daemon, besides this machine's own. The CA's
    private key is not kept: another certificate means another CA. Raises `CertsError` when a file is there already,
    unless `force`.
    """
    names = [_general_name(host) for host in dict.fromkeys((*LOCAL_HOSTS, *hosts))]
    authority = _authority(now)
    daemon_pem, daemon_key = _leaf(authority, "headway daemon", names, now)
    proxy_pem, proxy_key = _leaf(authority, "headway proxy", names, now)
    token = secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n"
    contents = (_pem(authority.certificate), daemon_pem, daemon_key, proxy_pem, proxy_key, token)
    paths = tuple(out / name for name in NAMES)
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = [path.name for path in paths if path.exists() or path.is_symlink()]
        if there and not force:
            raise CertsError(f"{out} has {', '.join(there)} already; --force replaces them")
        for path, content in zip(paths, contents, strict=True):
            _write(path, content, PUBLIC_MODE if path.suffix == ".pem" else SECRET_MODE)
    except OSError as error:
        raise CertsError(f"{error.filename or out} cannot be written: {error.strerror}") from error
    return paths


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not name or any(character in name for character in " /:@"):
        raise CertsError(f"'{host}' is neither a host name nor an IP address")
    return x509.DNSName(name)


def _authority(now: datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two sets of files must not look alike to whoever compares issuers by name.
    name = _name(f"headway trial CA {secrets.token_hex(4)}")
    certificate = (
        _builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Authority(certificate, key)


def _leaf(
    authority: _Authority, common_name: str, names: Sequence[x509.GeneralName], now: datetime
) -> tuple[bytes, bytes]:
    """A certificate and its key. The proxy serves with its own and shows it to the daemon, so all may do both."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_name(common_name), authority.certificate.subject, key.public_key(), now, LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_id, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _pem(certificate), private


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody else can read at any moment if its mode says so."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # the umask may have taken bits away from a public file
        file.write(content)
