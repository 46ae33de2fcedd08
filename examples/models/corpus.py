"""The text that the demo's models learn and are scored on: the help topics that every Python carries.

Nothing is downloaded and nothing is stored: the weights are committed, the text is not. The topics differ a little
between Python versions, so training records the version and a checksum.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pydoc_data import topics

HELD_OUT_EVERY = 10
"""Every tenth topic, in alphabetical order, is held out."""


@dataclass(frozen=True)
class Corpus:
    """Text for training, and text for scoring that shares no paragraph with it."""

    training: bytes
    held_out: bytes
    python: str
    """Version of the Python that it was taken from."""
    sha256: str
    """Checksum of both parts."""


def build_corpus(sources: dict[str, str] | None = None) -> Corpus:
    """Split topics (this Python's unless given) into training and held-out text, the same way every time."""
    sources = topics.topics if sources is None else sources
    names = sorted(sources)
    seen: set[str] = set()
    # The held-out part is cut first, so that a paragraph found on both sides is dropped from training.
    held_out = _without_repeats([sources[name] for name in names[::HELD_OUT_EVERY]], seen)
    rest = [sources[name] for index, name in enumerate(names) if index % HELD_OUT_EVERY]
    training = _without_repeats(rest, seen)
    checksum = hashlib.sha256(training + b"\0" + held_out).hexdigest()
    return Corpus(training=training, held_out=held_out, python=platform.python_version(), sha256=checksum)


def _without_repeats(texts: list[str], seen: set[str]) -> bytes:
    """Join the texts, leaving out each paragraph that came before; many topics contain others whole."""
    kept: list[str] = []
    for text in texts:
        fresh = []
        for paragraph in text.split("\n\n"):
            key = " ".join(paragraph.split())
            if key and key not in seen:
                seen.add(key)
                fresh.append(paragraph)
        if fresh:
            kept.append("\n\n".join(fresh) + "\n\n\n")
    return "".join(kept).encode()
