"""What the plain package lacks: the daemon and the demo need packages that only their extras bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from proxy.errors import HeadwayError

_OURS = ("proxy", "policies")


class MissingExtraError(HeadwayError):
    """A package is not installed that an extra brings; the text has the command that installs it."""


@contextmanager
def from_extra(extra: Literal["daemon", "demo", "train"], who: str) -> Iterator[None]:
    """Around imports that only `extra` makes possible. Raises `MissingExtraError` saying what `who` needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:  # a fault of headway's own
            raise
        raise MissingExtraError(f'{who} needs more packages: pip install "headway[{extra}]"') from error
