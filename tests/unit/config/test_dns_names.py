"""How `proxy.daemons` names a daemon, or all those behind a DNS name."""

from __future__ import annotations

import pytest

from proxy.config.dns_names import DaemonEndpoint, DnsName
from proxy.config.sources import Node, Origin
from proxy.config.values import Address, Available, Refused


def written(text: str) -> Node:
    return Node(text, Origin("headway.yaml", line=1), text=text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gpu-host:4433", Address("gpu-host", 4433)),
        ("[::1]:4433", Address("::1", 4433)),
        ("dns:4433", Address("dns", 4433)),
        ("dns:///daemons.headway.svc:4433", DnsName("daemons.headway.svc", 4433)),
        ("dns:///daemons.headway.svc.cluster.local.:4433", DnsName("daemons.headway.svc.cluster.local.", 4433)),
        ("dns:///[fd00::7]:4433", DnsName("fd00::7", 4433)),
    ],
)
def test_what_it_takes(text: str, value: Address | DnsName) -> None:
    read = DaemonEndpoint().read(written(text), Available())
    assert (read, str(read)) == (value, text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("dns:///gpu", "'gpu' has no port"),
        ("dns:///:4433", "':4433' has no host"),
        ("dns:///gpu:0", "'gpu:0' has no usable port"),
        ("dns://8.8.8.8/gpu:4433", "'dns://8.8.8.8/gpu:4433' is no address, and of schemes there is dns:///host:port"),
        ("dns:gpu:4433", "'dns:gpu:4433' is no address, and of schemes there is dns:///host:port"),
        ("xds:///gpu:4433", "'xds:///gpu:4433' is no address, and of schemes there is dns:///host:port"),
    ],
)
def test_what_it_refuses(text: str, what: str) -> None:
    with pytest.raises(Refused) as refused:
        DaemonEndpoint().read(written(text), Available())
    assert refused.value.what == what


def test_a_value_that_is_no_text() -> None:
    with pytest.raises(Refused, match="'8001' is not an address"):
        DaemonEndpoint().read(Node(8001, Origin("headway.yaml", line=1), text="8001"), Available())
