"""What `headway check` finds in certificate, key and token files, with the verifiers that the connections use."""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from proxy.config import Config, DaemonSettings, DnsName, ProxySettings, read_tokens

MADE_BY = "`headway certs` makes a set that fits together"


@dataclass(slots=True)
class CertificateCheck:
    """Reads each file once and collects a line for each problem."""

    config: Config
    now: datetime
    problems: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Check every certificate, key and token that the configuration names; the problems, in the order found."""
        proxy, daemon = self.config.proxy, self.config.daemon
        client_chain: Sequence[x509.Certificate] = ()
        cas: Sequence[x509.Certificate] = ()
        for role, section in (("proxy", proxy), ("daemon", daemon)):
            if section is not None and (tls := section.control_tls) is not None:
                self._pair(f"{role}.control_tls.cert", tls.cert, f"{role}.control_tls.key", tls.key)
                self._authorities(f"{role}.control_tls.client_ca", tls.client_ca)
        if proxy is not None:
            if proxy.tls is not None:
                self._pair("proxy.tls.cert", proxy.tls.cert, "proxy.tls.key", proxy.tls.key)
                self._authorities("proxy.tls.client_ca", proxy.tls.client_ca)
            if proxy.client_cert is not None and proxy.client_key is not None:
                client_chain = self._pair("proxy.client_cert", proxy.client_cert, "proxy.client_key", proxy.client_key)
            cas = self._authorities("proxy.ca", proxy.ca)
        if daemon is not None:
            chain = self._pair("daemon.cert", daemon.cert, "daemon.key", daemon.key)
            client_cas = self._authorities("daemon.client_ca", daemon.client_ca)
            if proxy is not None:
                self._server_fits(proxy, chain, cas)
                self._client_fits(proxy, daemon, client_chain, client_cas)
                self._tokens_fit(proxy, daemon)
        return self.problems

    def _report(self, key: str, what: str, allowed: str = "") -> None:
        self.problems.append(self.config.problem(key, what, allowed))

    def _pair(self, cert_key: str, cert_path: Path, key_key: str, key_path: Path) -> Sequence[x509.Certificate]:
        """The chain of a certificate that has no problem of its own; empty where it has."""
        before = len(self.problems)
        chain = self._certificates(cert_key, cert_path)
        try:
            private = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except OSError as error:
            self._report(key_key, f"{key_path} cannot be read: {error.strerror}")
        except TypeError:  # what cryptography raises for a missing password
            self._report(key_key, f"{key_path} is encrypted", "a private key in PEM without a password")
        except (ValueError, UnsupportedAlgorithm):
            self._report(key_key, f"{key_path} is not a private key", "a private key in PEM")
        else:
            if chain and private.public_key() != chain[0].public_key():
                self._report(key_key, f"{key_path} is not the key of {cert_path}", MADE_BY)
        return chain if len(self.problems) == before else ()

    def _authorities(self, key: str, path: Path | None) -> Sequence[x509.Certificate]:
        return () if path is None else self._certificates(key, path)

    def _certificates(self, key: str, path: Path) -> Sequence[x509.Certificate]:
        """The certificates of a file, all of them within their time; empty where one has a problem."""
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
        except OSError as error:
            self._report(key, f"{path} cannot be read: {error.strerror}")
            return ()
        except ValueError:
            self._report(key, f"{path} holds no certificate", "certificates in PEM")
            return ()
        fine = True
        for certificate in certificates:
            name = certificate.subject.rfc4514_string()
            if self.now > certificate.not_valid_after_utc:
                self._report(key, f"{path}: {name} expired on {_day(certificate.not_valid_after_utc)}")
                fine = False
            if self.now < certificate.not_valid_before_utc:
                self._report(key, f"{path}: {name} is not valid before {_day(certificate.not_valid_before_utc)}")
                fine = False
        return certificates if fine else ()

    def _server_fits(
        self, proxy: ProxySettings, chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate]
    ) -> None:
        if not chain:
            return
        if cas and (why := _not_signed(chain, cas, self.now)):
            self._report("proxy.ca", f"{proxy.ca} does not vouch for daemon.cert: {why}", MADE_BY)
        daemons = (one.server_name if isinstance(one, DnsName) else one.host for one in proxy.daemons)
        hosts = [proxy.server_name] if proxy.server_name else daemons
        key = "proxy.server_name" if proxy.server_name else "proxy.daemons"
        for host in dict.fromkeys(hosts):
            if not _names(chain[0], host):
                names = ", ".join(_alternative_names(chain[0])) or "no name at all"
                self._report(key, f"daemon.cert is not for '{host}'", f"{names}; or set proxy.server_name")

    def _client_fits(
        self,
        proxy: ProxySettings,
        daemon: DaemonSettings,
        chain: Sequence[x509.Certificate],
        cas: Sequence[x509.Certificate],
    ) -> None:
        if daemon.client_ca is None:
            return
        if proxy.client_cert is None:
            self._report("daemon.client_ca", "asks proxies for a certificate, and there is no proxy.client_cert")
        elif chain and cas and (why := _not_signed(chain, cas, self.now)):
            self._report("daemon.client_ca", f"{daemon.client_ca} does not vouch for proxy.client_cert: {why}", MADE_BY)

    def _tokens_fit(self, proxy: ProxySettings, daemon: DaemonSettings) -> None:
        if daemon.token_file is None:
            return
        if proxy.token_file is None:
            self._report("daemon.token_file", "asks proxies for a token, and there is no proxy.token_file")
        elif read_tokens(proxy.token_file)[0] not in read_tokens(daemon.token_file):
            self._report("proxy.token_file", "its first token is none of those in daemon.token_file")


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def _not_signed(chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate], now: datetime) -> str:
    """Why OpenSSL, which verifies for aioquic, finds no way from the first certificate to a CA; empty if one."""
    store = crypto.X509Store()
    for ca in cas:
        store.add_cert(crypto.X509.from_cryptography(ca))
    store.set_time(now)
    leaf, *others = [crypto.X509.from_cryptography(certificate) for certificate in chain]
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error)
    return ""


def _names(certificate: x509.Certificate, host: str) -> bool:
    kind: Literal["ip", "name"] = "name"
    try:
        ipaddress.ip_address(host)
        kind = "ip"
    except ValueError:
        pass
    verify = verify_certificate_ip_address if kind == "ip" else verify_certificate_hostname
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a certificate without alternative names, which is refused anyway
            verify(certificate, host)
    except (VerificationError, CertificateError):
        return False
    return True


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]
