"""A terminal window that the test looks at from outside: what is written to it, what is typed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from types import TracebackType
from typing import Any, Self


class Window:
    """`with Window() as window`: programs get `window.inside` as input and output."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.outside, self.inside = pty.openpty()
        self.resize(columns, lines)
        os.set_blocking(self.outside, False)
        self.seen = ""
        """All that has been written so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.inside)
        os.close(self.outside)

    @property
    def settings(self) -> list[Any]:
        """Echo, line buffering and the like."""
        return termios.tcgetattr(self.inside)

    def resize(self, columns: int, lines: int) -> None:
        """As a user who pulls at its corner."""
        fcntl.ioctl(self.inside, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.outside, keys.encode())

    def look(self) -> str:
        """What has been written since the last look."""
        found = b""
        try:
            while piece := os.read(self.outside, 65536):
                found += piece
        except OSError:  # nothing there now, or nobody inside any more
            pass
        text = found.decode(errors="replace")
        self.seen += text
        return text

    async def until(self, text: str, *, within_s: float = 60.0) -> str:
        """Wait until this has been written; all since the last look."""
        found = self.look()
        async with asyncio.timeout(within_s):
            while text not in found:
                await asyncio.sleep(0.005)
                found += self.look()
        return found
