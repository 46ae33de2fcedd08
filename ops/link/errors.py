"""What goes wrong with a link."""

from __future__ import annotations


class LinkError(Exception):
    """A link can't be had, or is gone. The text says what to do about it."""


class LinkGoneError(LinkError):
    """The link is not up any more."""


class SettingsError(LinkError):
    """Settings that no link can have. The text names the key and what is allowed."""
