"""Whether a daemon can be reached, for `headway check`."""

from __future__ import annotations

import asyncio
import ssl

from proxy.config import Address, ProxySettings

TIMEOUT_S = 5.0
"""More than the three round trips of a handshake over a link with a second of delay."""


async def probe_daemon(address: Address, proxy: ProxySettings) -> str:
    """Open a connection as the proxy would; what stands in the way, or empty.

    Tries the TLS/TCP tunnel's port, which a daemon opens whatever the transport.
    """
    context = ssl.create_default_context(cafile=None if proxy.ca is None else str(proxy.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    if proxy.client_cert is not None and proxy.client_key is not None:
        context.load_cert_chain(proxy.client_cert, proxy.client_key)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname=proxy.server_name or address.host
            )
    except TimeoutError:
        return f"{address} does not answer within {TIMEOUT_S:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"{address} shows a certificate that is not accepted: {error.verify_message}"
    except OSError as error:
        return f"{address} cannot be reached: {error.strerror or error}"
    writer.close()
    return ""
