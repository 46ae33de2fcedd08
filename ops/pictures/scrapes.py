"""What a Prometheus would have stored: the samples of several scrapes, by series."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
NAME = "__name__"


@dataclass(slots=True)
class Scrapes:
    """Samples in the order of time."""

    series: dict[Labels, list[tuple[float, float]]] = field(default_factory=dict)
    """Time in seconds and value; the labels have the metric's name."""

    def add(self, page: str, *, at: float, target: Mapping[str, str]) -> None:
        """A scrape of one target, whose labels are put on every series. Exemplars and time stamps are left out."""
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                labels = frozenset({NAME: sample.name, **sample.labels, **target}.items())
                self.series.setdefault(labels, []).append((at, sample.value))
        self.series.setdefault(frozenset({NAME: "up", **target}.items()), []).append((at, 1.0))

    @property
    def times(self) -> list[float]:
        """Of all scrapes."""
        return sorted({at for samples in self.series.values() for at, _ in samples})

    def named(self, name: str) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
        """The series of a metric."""
        return ((labels, samples) for labels, samples in self.series.items() if (NAME, name) in labels)

    def write(self, file: Path) -> None:
        """As JSON, a series a line."""
        with file.open("w", encoding="utf-8") as out:
            for labels, samples in self.series.items():
                out.write(json.dumps([dict(sorted(labels)), samples]) + "\n")

    @classmethod
    def read(cls, file: Path) -> Scrapes:
        """What `write` wrote."""
        rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        return cls({frozenset(labels.items()): [(at, value) for at, value in samples] for labels, samples in rows})
