"""Every span attribute, event and service name that headway writes. No other module spells one out.

`rpc.*`, `server.*`, `network.*`, `error.type` and `gen_ai.*` are OpenTelemetry's semantic conventions; `headway.*` is
ours. Attributes that end in `_ms` are milliseconds as floating-point numbers.
"""

from __future__ import annotations

SCOPE = "headway"
"""Instrumentation scope of every span."""

# Services
PROXY_SERVICE = "headway-proxy"
DAEMON_SERVICE = "headway-daemon"

# OpenTelemetry's
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
"""Service and method, as in `inference.GRPCInferenceService/ModelInfer`; also the span's name."""
RPC_STATUS_CODE = "rpc.status_code"
"""Name of the gRPC status, as in `DEADLINE_EXCEEDED`."""
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
PEER_ADDRESS = "network.peer.address"
PEER_PORT = "network.peer.port"
ERROR_TYPE = "error.type"
"""The status's name, on spans that count as errors."""
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
"""The model that the client named."""
RESPONSE_MODEL = "gen_ai.response.model"
"""The model that answered; another one than was asked for where a route chose it."""

# The call's class and deadline
TRAFFIC_CLASS = "headway.class"
UNKNOWN_CLASS = "headway.class.unknown"
"""The class that the request named, where no such class exists and the default class served it."""
DEADLINE = "headway.deadline_ms"
"""From the call's arrival in this process to its deadline."""
START_SLACK = "headway.deadline.slack_ms.start"
"""What was left of the deadline when the span began."""
SLACK = "headway.deadline.slack_ms"
"""What was left of the deadline when the span ended; negative is a miss."""

# The choice of a model
POLICY = "headway.policy"
MODEL = "headway.model"
INSTANCE = "headway.instance"
"""The Triton that ran the model, by its name in the configuration."""
DECISION_REASON = "headway.decision.reason"
DROPPED_REASON = "headway.dropped_reason"
"""Why the call was refused: the value of its `x-headway-dropped-reason` trailer."""

# Events
ENQUEUE = "enqueue"
"""The call waits for its turn."""
DISPATCH = "dispatch"
"""The call was handed on."""
DROP = "drop"
"""The call was refused or given up."""
RETRY = "retry"
"""Another candidate is tried."""
FIRST_MESSAGE = "first_message"
"""The first message of the answer passed."""
