"""What the plain package lacks: the daemon and the demo need packages that only their extras bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from proxy.errors import HeadwayError

_OURS = ("ops", "policies", "proxy")


class MissingExtraError(HeadwayError):
    """A package is not installed that an extra brings; the text has the command that installs it."""


def is_package_missing(error: ModuleNotFoundError) -> bool:
    """Whether a package of others' is not installed; a module of headway's own that is missing is a fault."""
    return error.name is not None and error.name.partition(".")[0] not in _OURS


@contextmanager
def from_extra(extra: Literal["daemon", "demo", "train"], who: str) -> Iterator[None]:
    """Around imports that only `extra` makes possible. Raises `MissingExtraError` saying what `who` needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_package_missing(error):
            raise
        raise MissingExtraError(f'{who} needs more packages: pip install "headway[{extra}]"') from error
