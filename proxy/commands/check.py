"""`headway check`: everything about a configuration that can be known before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from proxy.commands.certificates import CertificateCheck
from proxy.commands.extras import MissingExtraError
from proxy.commands.policies import check_policies
from proxy.commands.reach import probe_daemon
from proxy.commands.tritons import TIMEOUT_S, check_tritons
from proxy.config import Address, Config, DnsName, ProxySettings
from proxy.discovery.resolver import Resolver, SystemResolver

Probe = Callable[[Address, ProxySettings], Awaitable[str]]


async def check_config(
    config: Config,
    *,
    now: datetime,
    offline: bool = False,
    probe: Probe = probe_daemon,
    resolver: Resolver | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[str]:
    """A line for each problem with what a valid configuration names: certificates, checkpoints, daemons, Tritons.

    `offline` leaves out what needs the network. `now` is wall time, for certificates;
    `timeout_s` is how long a Triton may take to answer.
    """
    problems = CertificateCheck(config, now).run() + check_policies(config)
    if offline:
        return problems
    if (proxy := config.proxy) is not None:
        resolver = resolver or SystemResolver()
        answers = await asyncio.gather(*(_check_daemons(one, proxy, probe, resolver) for one in proxy.daemons))
        problems += [
            config.problem(f"proxy.daemons[{index}]", line) for index, lines in enumerate(answers) for line in lines
        ]
    if config.daemon is not None:
        try:
            problems += await check_tritons(config, config.daemon, timeout_s=timeout_s)
        except MissingExtraError as error:
            problems.append(config.problem("daemon", f"{error}; --role proxy leaves this section out"))
    return problems


async def _check_daemons(named: Address | DnsName, proxy: ProxySettings, probe: Probe, resolver: Resolver) -> list[str]:
    """What stands in the way of one entry of `proxy.daemons`: of each address, where it is a DNS name."""
    addresses: tuple[Address, ...]
    if isinstance(named, Address):
        addresses = (named,)
    else:
        try:
            addresses = await resolver.resolve(named.host, named.port)
        except OSError as error:
            return [f"{named} can't be resolved: {error.strerror or error}"]
        proxy = replace(proxy, server_name=proxy.server_name or named.server_name)
    answers = await asyncio.gather(*(probe(address, proxy) for address in addresses))
    return [answer for answer in answers if answer]
