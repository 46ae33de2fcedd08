"""Whether the policies of a configuration can be had, for `headway check`: a trained one comes out of a file."""

from __future__ import annotations

from policies.selection.registry import make_policy
from proxy.config import Config


def check_policies(config: Config) -> list[str]:
    """A line for each route whose policy can't be used. A daemon starts nevertheless, and greedy decides there."""
    problems: list[str] = []
    for name, route in config.daemon.routes.items() if config.daemon is not None else ():
        key = f"daemon.routes.{name}.policy"
        try:
            make_policy(route.policy)
        except ImportError as error:
            what = f"{route.policy} needs {error.name}, which is not installed; greedy would decide"
            problems.append(config.problem(key, what, 'pip install "headway[daemon]"'))
        except ValueError as error:
            problems.append(config.problem(key, f"{route.policy} can't be used: {error}; greedy would decide"))
    return problems
