"""What `headway ctl` does: asks each process, prints what it answers, and counts those that did not do it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from proxy.control.client import ClientTls, ControlClient, ControlError
from proxy.control.targets import Target
from proxy.control.text import status_lines, status_object
from proxy.pb.headway.v1 import control_pb2 as pb

T = TypeVar("T")


class Asking:
    """Asks `targets`. Each method returns the exit code: 0 when all of them did what was asked, else 1."""

    def __init__(self, targets: Sequence[Target], *, tls: ClientTls | None = None) -> None:
        self._targets = targets
        self._tls = tls

    def __repr__(self) -> str:
        return f"<Asking {', '.join(str(target) for target in self._targets)}>"

    async def status(self, *, as_json: bool) -> int:
        """Print each status."""
        answers = await self._ask(lambda client: client.status())
        if as_json:
            print(json.dumps([_object(target, answer) for target, answer in answers], indent=2))
        else:
            for target, answer in answers:
                if isinstance(answer, pb.Status):
                    print("\n".join(status_lines(answer, at=target.address)))
        return _code(answers)

    async def watch(self, *, interval_s: float, as_json: bool) -> int:
        """Print each status as it comes, until all processes have gone."""

        async def follow(target: Target) -> None:
            try:
                async with self._client(target) as client:
                    async for status in client.watch(interval_s=interval_s):
                        if as_json:
                            print(json.dumps(status_object(status, at=target.address)), flush=True)
                        else:
                            print("\n".join(status_lines(status, at=target.address)), flush=True)
            except ControlError as error:
                _tell(target, error)

        await asyncio.gather(*(follow(target) for target in self._targets))
        return 1

    async def schedulers(self) -> int:
        """Print the scheduler of each."""
        answers = await self._ask(lambda client: client.status())
        for target, answer in answers:
            if isinstance(answer, pb.Status):
                sending = answer.sending
                name = sending.scheduler or f"none, over {sending.transport}"
                print(f"{answer.role} at {target.address}: {sending.direction} {name}")
        return _code(answers)

    async def set_scheduler(self, name: str) -> int:
        """Switch the scheduler of each."""
        answers = await self._ask(lambda client: client.set_scheduler(name))
        for target, answer in answers:
            if isinstance(answer, pb.SetSchedulerResponse):
                print(f"{target}: scheduler {answer.scheduler}, was {answer.previous}")
        return _code(answers)

    async def policies(self) -> int:
        """Print the policy of each route of each."""
        answers = await self._ask(lambda client: client.status())
        for target, answer in answers:
            if isinstance(answer, pb.Status):
                for route in answer.routes:
                    print(f"{answer.role} at {target.address}: route {route.route} {route.policy}")
        return _code(answers)

    async def set_policy(self, route: str, policy: str) -> int:
        """Switch the policy of a route at each."""
        answers = await self._ask(lambda client: client.set_policy(route, policy))
        for target, answer in answers:
            if isinstance(answer, pb.SetPolicyResponse):
                print(f"{target}: route {route} {answer.policy}, was {answer.previous}")
        return _code(answers)

    async def drain(self) -> int:
        """Have each take no new calls."""
        answers = await self._ask(lambda client: client.drain())
        for target, answer in answers:
            if isinstance(answer, pb.DrainResponse):
                print(f"{target}: takes no new calls, {answer.calls} under way")
        return _code(answers)

    def _client(self, target: Target) -> ControlClient:
        return ControlClient(target.address, tls=self._tls if target.tls else None)

    async def _ask(self, question: Callable[[ControlClient], Awaitable[T]]) -> list[tuple[Target, T | ControlError]]:
        """Ask all at once; the answers in the order of the targets. What went wrong is printed."""

        async def one(target: Target) -> T | ControlError:
            try:
                async with self._client(target) as client:
                    return await question(client)
            except ControlError as error:
                return error

        answers = await asyncio.gather(*(one(target) for target in self._targets))
        found = list(zip(self._targets, answers, strict=True))
        for target, answer in found:
            if isinstance(answer, ControlError):
                _tell(target, answer)
        return found


def _object(target: Target, answer: pb.Status | ControlError) -> dict[str, object]:
    if isinstance(answer, ControlError):
        return {"at": target.address, "error": str(answer)}
    return status_object(answer, at=target.address)


def _tell(target: Target, error: ControlError) -> None:
    role = "" if target.role is None else f"{target.role} at "
    print(f"headway: {role}{error}", file=sys.stderr)


def _code(answers: Sequence[tuple[Target, object]]) -> int:
    return int(any(isinstance(answer, ControlError) for _, answer in answers))
