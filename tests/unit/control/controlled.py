"""A process that does what it is told, for the tests of the control service."""

from __future__ import annotations

import asyncio

from proxy.errors import CallError, Code
from proxy.pb.headway.v1 import control_pb2 as pb


class FakeProcess:
    """Knows the schedulers `rr` and `edf` and the route `llm`, and counts how often it was looked at."""

    def __init__(self, *, has_scheduler: bool = True) -> None:
        self.has_scheduler = has_scheduler
        self.name = "edf"
        self.policy = "round_robin"
        self.draining = False
        self.looks = 0
        self.looked_twice = asyncio.Event()

    def status(self) -> pb.Status:
        self.looks += 1
        if self.looks == 2:
            self.looked_twice.set()
        return pb.Status(
            role="daemon",
            version="1.2.3",
            listen="127.0.0.1:4433",
            draining=self.draining,
            calls=3,
            sending=pb.Sending(direction="downlink", scheduler=self.name, congestion_control="cubic", transport="quic"),
            routes=[pb.RouteStatus(route="llm", policy=self.policy)],
        )

    @property
    def scheduler(self) -> str:
        if not self.has_scheduler:
            raise CallError(Code.FAILED_PRECONDITION, "no stream scheduler")
        return self.name

    def use_scheduler(self, name: str) -> None:
        if name not in ("rr", "edf"):
            raise ValueError(f"unknown scheduler {name!r}; known: rr, edf")
        self.name = name

    def policies(self) -> dict[str, str]:
        return {"llm": self.policy}

    def use_policy(self, route: str, policy: str) -> None:
        if route != "llm":
            raise ValueError(f"unknown route {route!r}; known are llm")
        self.policy = policy

    def drain(self) -> None:
        self.draining = True
