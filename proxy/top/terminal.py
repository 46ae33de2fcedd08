"""A terminal window: shows frames on its alternate screen, reads keys, and leaves everything as it was.

Nothing here waits: a window at the end of a stalled connection takes a frame when it can, and frames that came
meanwhile are left out. For that the terminal is opened once more, since what is written to without waiting must not be
the shell's own open file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

from proxy.errors import HeadwayError

ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""Alternate screen, no cursor, long lines cut, nothing on it."""
LEAVE = b"\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, TO_LINE_END, TO_PAGE_END = "\x1b[H", "\x1b[K", "\x1b[J"
CANCEL = b"\x18"
"""Ends an escape sequence that was cut off (ECMA-48 CAN)."""

FALLBACK_SIZE = os.terminal_size((80, 24))
LEAVE_WITHIN_S = 1.0
"""How long a window that takes nothing may keep us from leaving."""
KEY_BYTES = 64
AT_ONCE = termios.TCSANOW
"""Settings that wait until output is out wait for ever in a window that takes none."""


class Terminal:
    """`with Terminal(0, 1) as terminal`, in a running event loop. `on_key` gets each key; "" when input has ended."""

    def __init__(self, input_fd: int, output_fd: int, *, on_key: Callable[[str], None]) -> None:
        self._input = input_fd
        self._output = output_fd
        self._on_key = on_key
        self._own: int | None = None
        self._before: list[object] | None = None
        self._rest = b""
        self._next = b""
        self._inside = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Terminal {'inside' if self._inside else 'outside'} {len(self._rest)} B to be written>"

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines of the window now."""
        try:
            size = os.get_terminal_size(self._output)
        except OSError:
            return FALLBACK_SIZE
        return size if size.columns and size.lines else FALLBACK_SIZE

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def enter(self) -> None:
        """Take the window over."""
        if self._inside:
            return
        self._inside = True
        self._loop = asyncio.get_running_loop()
        self._own = _opened_again(self._output)
        if os.isatty(self._input):
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input, AT_ONCE)
            self._loop.add_reader(self._input, self._read)
        self._write(ENTER)

    def leave(self) -> None:
        """Give the window back as it was. A second time does nothing."""
        if not self._inside or self._loop is None or self._own is None:
            return
        self._inside = False
        self._loop.remove_writer(self._own)
        self._loop.remove_reader(self._input)
        with contextlib.suppress(OSError):  # the window may be gone
            _write_soon(self._own, (CANCEL if self._rest else b"") + LEAVE)
        os.close(self._own)
        self._own, self._rest, self._next = None, b"", b""
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._input, AT_ONCE, self._before)  # type: ignore[arg-type]
            self._before = None

    def show(self, lines: list[str]) -> None:
        """Show these lines and nothing else. Should an earlier page not be out yet, this one takes its turn."""
        page = "\r\n".join(line + TO_LINE_END for line in lines)
        self._next = f"{HOME}{page}{TO_PAGE_END}".encode(errors="replace")
        if not self._rest:
            self._go_on()

    def _write(self, data: bytes) -> None:
        self._rest += data
        self._go_on()

    def _go_on(self) -> None:
        """Write what goes without waiting."""
        if self._own is None or self._loop is None:
            return
        while self._rest or self._next:
            if not self._rest:
                self._rest, self._next = self._next, b""
            try:
                self._rest = self._rest[os.write(self._own, self._rest) :]
            except BlockingIOError:
                self._loop.add_writer(self._own, self._go_on)
                return
            except OSError:  # the window is gone, of which reading tells
                self._rest = self._next = b""
        self._loop.remove_writer(self._own)

    def _read(self) -> None:
        try:
            keys = os.read(self._input, KEY_BYTES)
        except OSError:
            keys = b""
        if not keys and self._loop is not None:
            self._loop.remove_reader(self._input)
        self._on_key(keys.decode(errors="replace"))


def _opened_again(descriptor: int) -> int:
    """The same terminal, in an open file of its own that does not wait. Raises `HeadwayError`."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(os.ttyname(descriptor), flags)
    except OSError:  # in a container whose /dev has no such name
        pass
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError as error:
        raise HeadwayError(f"the terminal can't be opened: {error.strerror}; --once prints one page") from None


def _write_soon(descriptor: int, data: bytes) -> None:
    """Write within `LEAVE_WITHIN_S` of each other piece, or not at all."""
    while data and select.select([], [descriptor], [], LEAVE_WITHIN_S)[1]:
        data = data[os.write(descriptor, data) :]
