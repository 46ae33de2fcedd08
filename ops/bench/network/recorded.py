"""`headway` with a recorder around its schedulers: `python -m ops.bench.network.recorded FILE proxy -c CONFIG`.

FILE gets, when the program ends, how many bytes of which class each `BIN_S` took: JSON, `{KEY: {BIN: BYTES}}`, a bin's
number being its beginning on the monotonic clock over `BIN_S`. A class is known by what a scheduler is told of it, so
that two classes of equal priority, level and weight are one KEY.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from policies.scheduling.base import PathEstimate, Scheduler, StreamOrder
from policies.scheduling.registry import SCHEDULERS
from policies.traffic import Level
from proxy.cli import main

BIN_S = 0.1


class Kind(Protocol):
    """A class, or an order that a scheduler is given for it."""

    @property
    def priority(self) -> int: ...
    @property
    def level(self) -> Level: ...
    @property
    def weight(self) -> float: ...


class NamedKind(Kind, Protocol):
    """A class."""

    @property
    def name(self) -> str: ...


def key_of(item: Kind) -> str:
    """What a recording calls a class."""
    return f"{item.priority}/{item.level}/{item.weight:g}"


@dataclass(slots=True)
class Tally:
    """Bytes by class and time."""

    bins: defaultdict[str, defaultdict[int, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def count(self, key: str, sent_bytes: int, *, now: float) -> None:
        """So many bytes have gone into a packet."""
        self.bins[key][int(now / BIN_S)] += sent_bytes

    def write(self, file: Path) -> None:
        """Leave the numbers."""
        file.write_text(json.dumps(self.bins))


class Recording:
    """A scheduler that tells a tally whom it has served."""

    def __init__(self, scheduler: Scheduler, tally: Tally) -> None:
        self._scheduler = scheduler
        self._tally = tally
        self._waiting: dict[int, tuple[str, int]] = {}
        self._now = 0.0

    def __repr__(self) -> str:
        return f"<Recording {self._scheduler!r}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def __len__(self) -> int:
        return len(self._scheduler)

    def add(self, order: StreamOrder, *, unsent_bytes: int, now: float) -> None:
        """See the protocol, here and below."""
        self._waiting[order.stream_id] = (key_of(order), unsent_bytes)
        self._scheduler.add(order, unsent_bytes=unsent_bytes, now=now)

    def next(self, *, now: float) -> int | None:
        self._now = now
        return self._scheduler.next(now=now)

    def served(self, stream_id: int, *, sent_bytes: int, now: float) -> None:
        key, unsent_bytes = self._waiting[stream_id]
        self._waiting[stream_id] = (key, max(unsent_bytes - sent_bytes, 0))
        self._tally.count(key, sent_bytes, now=now)
        self._scheduler.served(stream_id, sent_bytes=sent_bytes, now=now)

    def remove(self, stream_id: int) -> None:
        # What a stream had left went into its last packet, unless it was reset, which no request of ours is.
        key, unsent_bytes = self._waiting.pop(stream_id, ("", 0))
        if unsent_bytes:
            self._tally.count(key, unsent_bytes, now=self._now)
        self._scheduler.remove(stream_id)

    def on_path(self, path: PathEstimate, *, now: float) -> None:
        self._scheduler.on_path(path, now=now)


def record(schedulers: MutableMapping[str, Callable[[], Scheduler]]) -> Tally:
    """Make every scheduler of a registry tell the tally that is returned."""
    tally = Tally()

    def recording(make: Callable[[], Scheduler]) -> Callable[[], Scheduler]:
        def made() -> Scheduler:
            scheduler: Any = Recording(make(), tally)
            return scheduler  # type: ignore[no-any-return]

        return made

    schedulers.update({name: recording(make) for name, make in schedulers.items()})
    return tally


def series(
    bins: Mapping[str, Mapping[str, int]], classes: Collection[NamedKind], *, began_at: float
) -> dict[str, list[int]]:
    """Bytes of each class, bin by bin from `began_at` on."""
    first = int(began_at / BIN_S)
    last = max((int(number) for one in bins.values() for number in one), default=first)
    found: dict[str, list[int]] = {}
    keys: set[str] = set()
    for item in classes:
        key = key_of(item)
        if key not in keys:
            own = bins.get(key, {})
            found[item.name] = [own.get(str(number), 0) for number in range(first, last + 1)]
            keys.add(key)
    return found


if __name__ == "__main__":
    file = Path(sys.argv.pop(1))
    kept = record(SCHEDULERS)
    try:
        main()
    finally:
        kept.write(file)
