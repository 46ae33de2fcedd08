"""A line for each packet that was on the link, for plots: tab-separated, the first line names the columns."""

from __future__ import annotations

from pathlib import Path

from ops.link.lane import Packet
from ops.link.settings import Direction

COLUMNS = ("time_s", "direction", "bytes", "queue_bytes", "fate", "sent_s", "left_s", "arrived_s")
"""`time_s`: when the packet entered the link; `sent_s` and `left_s`: when its first and its last bit were on the wire;
`arrived_s`: when it came out; all after the time origin, `nan` where it never got so far. `queue_bytes`: what waited
for the wire when it entered. Lines are in the order in which fates became known."""

_BUFFER_BYTES = 1 << 20
"""A write to the disk then costs one turn in about 15 000."""


class PacketLog:
    """Writes the file. Raises OSError where that is not possible."""

    def __init__(self, path: Path, *, origin_at: float) -> None:
        self._file = path.open("w", buffering=_BUFFER_BYTES, encoding="ascii")
        self._file.write("\t".join(COLUMNS) + "\n")
        self.origin_at = origin_at
        """What the times count from; may be set at any time."""

    def add(self, direction: Direction, packet: Packet) -> None:
        """A packet whose fate is known."""
        origin_at = self.origin_at
        self._file.write(
            f"{packet.entered_at - origin_at:.6f}\t{direction}\t{len(packet.data)}\t{packet.queue_bytes}\t{packet.fate}"
            f"\t{packet.sent_at - origin_at:.6f}\t{packet.left_at - origin_at:.6f}"
            f"\t{packet.arrives_at - origin_at:.6f}\n"
        )

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
