"""The tokens of a file that may be rotated while it is in use."""

from __future__ import annotations

import logging
from pathlib import Path

from proxy.clock import Clock
from proxy.config import read_tokens
from proxy.errors import HeadwayError

logger = logging.getLogger(__name__)

TOKEN_AGE_S = 1.0
"""How long the file's content is believed: a rotation is taken up within this time, without reading the file at each
call."""


class TokenFile:
    """The tokens of a file. What was read last stays in force while the file can't be read.

    Raises `HeadwayError` at the start if the file can't be read. Without a path there are no tokens.
    """

    def __init__(self, path: Path | None, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._read_at = clock.now()
        self._modified_ns = 0
        self._tokens: tuple[bytes, ...] = ()
        if path is not None:
            try:
                self._read(path)
            except (OSError, ValueError) as error:
                raise HeadwayError(f"token_file {path}: {error}") from None

    def __repr__(self) -> str:
        return f"<TokenFile {self._path} tokens={len(self._tokens)}>"

    def all(self) -> tuple[bytes, ...]:
        """Every token, the first one first."""
        now = self._clock.now()
        if self._path is not None and now - self._read_at >= TOKEN_AGE_S:
            self._read_at = now
            try:
                self._read(self._path)
            except (OSError, ValueError) as error:
                logger.warning("token_file %s: %s; the tokens read before stay", self._path, error)
        return self._tokens

    def first(self) -> bytes:
        """The token to show; empty without a file."""
        tokens = self.all()
        return tokens[0] if tokens else b""

    def _read(self, path: Path) -> None:
        modified_ns = path.stat().st_mtime_ns
        if modified_ns != self._modified_ns:
            self._tokens = tuple(token.encode() for token in read_tokens(path))
            self._modified_ns = modified_ns
