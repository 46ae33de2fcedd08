"""`headway check`: everything about a configuration that can be known before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from proxy.commands.certificates import CertificateCheck
from proxy.commands.extras import MissingExtraError
from proxy.commands.reach import probe_daemon
from proxy.commands.tritons import TIMEOUT_S, check_tritons
from proxy.config import Address, Config, ProxySettings

Probe = Callable[[Address, ProxySettings], Awaitable[str]]


async def check_config(
    config: Config,
    *,
    now: datetime,
    offline: bool = False,
    probe: Probe = probe_daemon,
    timeout_s: float = TIMEOUT_S,
) -> list[str]:
    """A line for each problem with what a valid configuration names: certificates, tokens, daemons, Tritons.

    `offline` leaves out what needs the network. `now` is wall time, for certificates;
    `timeout_s` is how long a Triton may take to answer.
    """
    problems = CertificateCheck(config, now).run()
    if offline:
        return problems
    if (proxy := config.proxy) is not None:
        answers = await asyncio.gather(*(probe(address, proxy) for address in proxy.daemons))
        problems += [
            config.problem(f"proxy.daemons[{index}]", answer) for index, answer in enumerate(answers) if answer
        ]
    if config.daemon is not None:
        try:
            problems += await check_tritons(config, config.daemon, timeout_s=timeout_s)
        except MissingExtraError as error:
            problems.append(config.problem("daemon", f"{error}; --role proxy leaves this section out"))
    return problems
