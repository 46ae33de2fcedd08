"""The file of the token that a proxy shows and a daemon asks for."""

from __future__ import annotations

from pathlib import Path


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a file, one a line; blank lines and lines that start with `#` don't count.

    A daemon lets in every one of them, a proxy shows the first, so a new token goes into the daemon's file first,
    then to the top of the proxy's, and the old one out of the daemon's last. Raises `OSError`, and `ValueError`
    (whose text never holds the token) when there is none or one can't travel in a header.
    """
    tokens: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError(f"line {number} is not a token")
        tokens.append(token)
    if not tokens:
        raise ValueError("holds no token")
    return tuple(tokens)
