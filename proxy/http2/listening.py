"""A gRPC server's port, plain or with TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from proxy.errors import HeadwayError


class ServerTls(Protocol):
    """Where a server's TLS is read from; files in PEM."""

    @property
    def cert(self) -> Path:
        """Its certificate chain."""

    @property
    def key(self) -> Path:
        """The certificate's private key."""

    @property
    def client_ca(self) -> Path | None:
        """Who signs the certificates that clients must show; None asks for none."""


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """The files' content for grpc. Raises OSError if one can't be read."""
    root = tls.client_ca.read_bytes() if tls.client_ca is not None else None
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.cert.read_bytes())],
        root_certificates=root,
        require_client_auth=root is not None,
    )


def add_port(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
    """Give the server a port at `address`; its number. Raises `HeadwayError` naming the address if that can't be."""
    try:
        if tls is None:
            port: int = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, server_credentials(tls))
    except (RuntimeError, OSError) as error:
        raise HeadwayError(f"can't listen on {address}: {error}") from None
    if port == 0:
        raise HeadwayError(f"can't listen on {address}")
    return port
