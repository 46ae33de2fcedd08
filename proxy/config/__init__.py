"""The configuration: one YAML file, the environment and the command line ⇄ one frozen record per component.

The way of a value: `sources` reads text into a tree in which every value knows where it was written; `reader` turns
the tree into the records of `records`, one `values` kind per key, and collects a line for each thing wrong; `rules`
checks what takes more than one key to see; `load` puts them in order. `document` derives flags and help from the
same records.

Precedence: flag, then environment, then file, then default.

Environment: `HEADWAY_` and the key's path in capitals, levels joined by two underscores: `HEADWAY_SCHEDULER`,
`HEADWAY_PROXY__LISTEN`, `HEADWAY_CLASSES__REALTIME__DEADLINE`. In names that the file chose (classes, routes,
tritons) any character but letters and digits is written as `_`. A list of plain values is joined by commas; a whole
mapping or a list of mappings is written as YAML: `HEADWAY_DAEMON__TRITONS='{a: {url: "localhost:8101"}}'`. An empty
variable counts as not set.

Paths in the file start from the file's directory; paths in variables and flags start from the working directory.
"""

from proxy.config.dns_names import DnsName
from proxy.config.load import load_config
from proxy.config.records import (
    CandidateSettings,
    Config,
    ControlTlsSettings,
    DaemonSettings,
    ProxySettings,
    RouteSettings,
    TelemetrySettings,
    TlsSettings,
    TrafficSettings,
    TritonSettings,
)
from proxy.config.sources import Override
from proxy.config.tokens import read_tokens
from proxy.config.values import Address, Available

__all__ = [
    "Address",
    "Available",
    "CandidateSettings",
    "Config",
    "ControlTlsSettings",
    "DaemonSettings",
    "DnsName",
    "Override",
    "ProxySettings",
    "RouteSettings",
    "TelemetrySettings",
    "TlsSettings",
    "TrafficSettings",
    "TritonSettings",
    "load_config",
    "read_tokens",
]
