"""The methods of `headway.v1.Control`, as server and client need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.pb.headway.v1 import control_pb2 as pb

SERVICE = "headway.v1.Control"


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its name and the messages' classes, which protobuf does not type in a common way."""

    name: str
    request: Any
    answer: Any

    @property
    def path(self) -> str:
        """As gRPC names it on the wire."""
        return f"/{SERVICE}/{self.name}"


GET_STATUS = Method("GetStatus", pb.GetStatusRequest, pb.Status)
WATCH_STATUS = Method("WatchStatus", pb.WatchStatusRequest, pb.Status)
SET_SCHEDULER = Method("SetScheduler", pb.SetSchedulerRequest, pb.SetSchedulerResponse)
SET_POLICY = Method("SetPolicy", pb.SetPolicyRequest, pb.SetPolicyResponse)
DRAIN = Method("Drain", pb.DrainRequest, pb.DrainResponse)
