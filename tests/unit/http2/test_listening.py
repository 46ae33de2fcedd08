"""A gRPC server's port, and why there may be none."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest

from proxy.config import TlsSettings
from proxy.errors import HeadwayError
from proxy.http2.listening import add_port, server_credentials


async def test_the_system_s_choice_is_told() -> None:
    assert add_port(grpc.aio.server(), "localhost:0", None) > 0


async def test_a_port_in_use_is_named() -> None:
    options = [("grpc.so_reuseport", 0)]
    first, second = grpc.aio.server(options=options), grpc.aio.server(options=options)
    address = f"localhost:{add_port(first, 'localhost:0', None)}"
    await first.start()
    with pytest.raises(HeadwayError, match=rf"^can't listen on {address}"):
        add_port(second, address, None)
    await first.stop(None)


async def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    tls = TlsSettings(cert=tmp_path / "gone.pem", key=tmp_path / "gone.key")
    with pytest.raises(HeadwayError, match=r"^can't listen on localhost:0: .*No such file or directory"):
        add_port(grpc.aio.server(), "localhost:0", tls)
    with pytest.raises(FileNotFoundError):
        server_credentials(tls)
