"""A collector of one folder's size: takes OTLP over HTTP as JSON and appends it to the file that the others write.

Triton sends its own spans that way and no other. With them in the file, the trace of a request reaches from the client
to the model's compute.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

PATH = "/v1/traces"
LARGEST_BYTES = 16 << 20
"""A batch of Triton's has 512 spans of about 1 KB."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Take one batch of spans."""
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if 0 < length <= LARGEST_BYTES else b""
        self.send_response(self._keep(body) if self.path == PATH else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _keep(self, body: bytes) -> int:
        try:
            line = json.dumps(json.loads(body), separators=(",", ":")).encode() + b"\n"
            self.server.append(line)
        except ValueError:
            return 400
        except OSError as error:
            logger.warning("Spans of Triton are lost: %s", error)
            return 503
        return 200

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name for it
        """Requests are no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, file: Path) -> None:
        self._fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        super().__init__(("127.0.0.1", 0), _Handler)

    def append(self, line: bytes) -> None:
        """One write, which the kernel keeps in one piece beside those of other processes."""
        os.write(self._fd, line)

    def server_close(self) -> None:
        """Stop listening and close the file."""
        super().server_close()
        os.close(self._fd)


class TraceInbox:
    """Listens on a free port of loopback while the block lasts. Raises OSError where the file can't be opened."""

    def __init__(self, file: Path) -> None:
        self._server = _Server(file)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="trace-inbox", daemon=True)

    @property
    def url(self) -> str:
        """Where to send spans."""
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
