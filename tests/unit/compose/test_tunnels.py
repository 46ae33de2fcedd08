import pytest

from proxy.clock import MonotonicClock
from proxy.compose.tunnels import open_tunnel
from proxy.config import load_config
from proxy.quic.client import QuicTunnel
from proxy.tcp.client import TcpTunnel
from proxy.testing.ports import free_port


@pytest.mark.parametrize(("transport", "kind"), [("quic", QuicTunnel), ("tcp", TcpTunnel)])
async def test_the_transport_is_the_configuration_s(transport: str, kind: type) -> None:
    address = f"127.0.0.1:{free_port()}"
    variables = {"HEADWAY_PROXY__DAEMONS": address, "HEADWAY_PROXY__TRANSPORT": transport}
    settings = load_config(None, roles=["proxy"], environment=variables).require_proxy()
    tunnel = open_tunnel(settings.daemons[0], settings, token=bytes, clock=MonotonicClock())
    try:
        assert type(tunnel) is kind
        assert tunnel.name == address
    finally:
        await tunnel.close()
