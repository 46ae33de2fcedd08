"""When the certificates end that a process uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from proxy.telemetry import metric_names as names
from proxy.telemetry.exposition import Family
from proxy.telemetry.metrics import family_of


class CertificateFile:
    """A file of certificates in PEM, by its key in the configuration.

    What a process reads when it starts is read once, so that a file that was renewed doesn't hide that the old one is
    still in use; with `read_again` for what is read at each connection.
    """

    def __init__(self, key: str, path: Path, *, read_again: bool = False) -> None:
        self.key = key
        self._path = path
        self._read_again = read_again
        self._changed_ns: int | None = None
        self._ends_at: float | None = None

    def __repr__(self) -> str:
        return f"<CertificateFile {self.key} {self._path}>"

    def ends_at(self) -> float | None:
        """Unix time at which the first of its certificates ends; None while it can't be read."""
        if self._changed_ns is None or self._read_again:
            self._look()
        return self._ends_at

    def _look(self) -> None:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._changed_ns:
                certificates = x509.load_pem_x509_certificates(self._path.read_bytes())
                self._ends_at = min(one.not_valid_after_utc for one in certificates).timestamp()
                self._changed_ns = changed_ns
        except (OSError, ValueError):
            self._changed_ns = self._ends_at = None


def certificate_families(files: Sequence[CertificateFile]) -> Iterator[Family]:
    """What a scrape sees."""
    ends = ((file.key, file.ends_at()) for file in files)
    yield family_of(names.CERTIFICATE_EXPIRY, (((key,), at) for key, at in ends if at is not None))
