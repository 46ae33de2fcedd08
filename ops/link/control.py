"""Questions and orders to a running link: one JSON object each way over an abstract Unix socket.

Abstract: the name goes with the process that has it, so that nothing is left in the file system.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from ops.link.errors import LinkError, LinkGoneError, SettingsError

LONGEST_BYTES = 1 << 16
"""A settings record with 200 changes stays under this."""
TIMEOUT_S = 5.0
"""A shuttle answers within a turn, so under a millisecond; this is for one that is stopped or starved."""


def address(name: str) -> str:
    """Where the link of that name listens."""
    return f"\0headway-link-{name}"


def listener(name: str) -> socket.socket:
    """The socket that a link's shuttle answers at."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        made.bind(address(name))
    except OSError:
        made.close()
        raise
    made.listen(16)
    made.settimeout(0.0)
    return made


def from_same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end has this one's user: an abstract socket has no file mode to say so."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.geteuid())


def ask(name: str, what: str, **arguments: object) -> Any:
    """Ask a link. Raises `LinkGoneError`, and `SettingsError` and `LinkError` for what it refuses."""
    question = json.dumps({"what": what, **arguments}).encode()
    if len(question) > LONGEST_BYTES:
        raise LinkError(f"link {name}: {len(question)} bytes are too long a message; allowed: {LONGEST_BYTES}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(address(name))
            connection.sendall(question)
            answer = json.loads(connection.recv(LONGEST_BYTES) or b"null")
        except OSError as error:
            raise LinkGoneError(f"link {name} does not answer ({error}); it has ended, or is stopped") from error
    if answer is None:
        raise LinkGoneError(f"link {name} closed the connection; it has ended, or belongs to another user")
    if "error" in answer:
        raise (SettingsError if answer["refused"] else LinkError)(answer["error"])
    return answer["answer"]
