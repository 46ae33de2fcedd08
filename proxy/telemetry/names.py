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

MISSED_AT = "headway.deadline.missed_at"
"""Only on a miss: the stage in which the deadline ran out; `token` where it was that of a later message."""

# Where the time went
STAGE_MS = "headway.stage.{}_ms"
"""How long a stage took (`proxy.telemetry.stages`). Its event, of the stage's name, is where and when the stage ended,
with what was left of the deadline then."""
TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 -- no password
"""Seconds from the call's arrival to the first message of an answer that may have many; named as the metric is."""
MESSAGES = "headway.messages"
"""Messages of such an answer."""
LATE_MESSAGES = "headway.messages.late"
"""How many of them missed their own deadlines."""
LATE_INDEXES = "headway.messages.late_indexes"
"""Which ones, from 0, commas between; the first sixteen."""

# The choice of a model
POLICY = "headway.policy"
MODEL = "headway.model"
INSTANCE = "headway.instance"
"""The Triton that ran the model, by its name in the configuration."""
DECISION_REASON = "headway.decision.reason"
DECISION_FALLBACK = "headway.decision.fallback"
"""Why greedy decided in the policy's place; absent when the policy did."""
DECISION_CHOICE = "headway.decision.choice"
"""The chosen model, or `shed`."""
DECISION_CANDIDATES = "headway.decision.candidates"
"""What the policy chose from, `model@triton` each. The lists that follow are in this order, commas between."""
DECISION_SCORES = "headway.decision.scores"
"""What the policy gave each; of a trained one its Q-values, with that of shedding last."""
DECISION_READY = "headway.decision.ready"
DECISION_RUNNING = "headway.decision.running"
DECISION_WAITING = "headway.decision.waiting"
DECISION_FINISH = "headway.decision.finish_ms"
"""From the decision to the predicted answer; a dash where nothing predicts it."""
DECISION_SLOW_DOWN = "headway.decision.slow_down"
DECISION_SLACK = "headway.decision.slack_ms"
"""What a model may take for the answer to be in time, its way back taken off; absent without a deadline."""
DECISION_WAY_BACK = "headway.decision.way_back_ms"
DECISION_HELD = "headway.decision.held"
"""Requests of the route that waited in the daemon until then, where the policy decides late."""
DECISION_FAST_RATE = "headway.decision.arrivals.fast"
"""Requests a second of the route, over the last second."""
DECISION_SLOW_RATE = "headway.decision.arrivals.slow"
"""Likewise over the last tens of seconds."""
DECISION_MIX = "headway.decision.arrivals.mix"
"""Share of each class in them."""
DROPPED_REASON = "headway.dropped_reason"
"""Why the call was refused: the value of its `x-headway-dropped-reason` trailer."""

# Events
ENQUEUE = "enqueue"
"""The call waits for its turn."""
DISPATCH = "dispatch"
"""The call was handed on."""
DROP = "drop"
"""The call was refused or given up."""
DECISION = "decision"
"""A policy chose; its attributes say from what and why."""
RETRY = "retry"
"""Another candidate is tried."""
FIRST_MESSAGE = "first_message"
"""The first message of the answer passed."""
