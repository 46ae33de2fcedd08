"""A bad link on one machine: two network namespaces, and a program that carries packets between them.

`python -m ops.link` is the tool (`__main__`, `commands`, `measure`); programs use `EmulatedLink` (`emulated`).

The way of a packet: the kernel of one namespace puts it into a TUN device (`namespaces`); the `shuttle`, a process of
its own, reads it and gives it to the `model`, which has a `lane` for each direction; `luck` draws what chance decides,
`settings` say the rest; when its time has come the shuttle writes it into the other namespace's device. `statistics`
and `packet_log` tell what became of it; `control` is how the owner and the tool talk to the shuttle. `description`
reads settings from YAML and flags.
"""

from ops.link.description import parse_link
from ops.link.emulated import EmulatedLink, Side
from ops.link.errors import LinkError, SettingsError
from ops.link.namespaces import namespaces_permitted
from ops.link.settings import Change, Direction, LinkSettings
from ops.link.statistics import DirectionStatistics, LinkStatistics

__all__ = [
    "Change",
    "Direction",
    "DirectionStatistics",
    "EmulatedLink",
    "LinkError",
    "LinkSettings",
    "LinkStatistics",
    "SettingsError",
    "Side",
    "namespaces_permitted",
    "parse_link",
]
