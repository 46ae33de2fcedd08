"""Every metric that headway exports: name, type, labels, help. No other module spells one out.

`ops/metrics.md` says what each one means and whose it is; a test holds the two together.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "summary"]


class MetricName(NamedTuple):
    """What stands above a metric's series."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


def _gauge(name: str, help: str, *labels: str) -> MetricName:  # noqa: A002 -- Prometheus' word for it
    return MetricName(name, "gauge", labels, help)


def _counter(name: str, help: str, *labels: str) -> MetricName:  # noqa: A002
    return MetricName(name, "counter", labels, help)


def _histogram(name: str, help: str, *labels: str) -> MetricName:  # noqa: A002
    return MetricName(name, "histogram", labels, help)


# The process
BUILD_INFO = _gauge("headway_build_info", "1.", "version", "role")
CALLS = _gauge("headway_calls", "Calls taken and not finished.", "role")
DRAINING = _gauge("headway_draining", "1 while new calls are refused.", "role")
SPANS = _counter("headway_spans_total", "Finished spans, by what became of them.", "outcome")
CERTIFICATE_EXPIRY = _gauge(
    "headway_certificate_expiry_timestamp_seconds", "When the certificate ends, Unix time.", "certificate"
)

# Calls of clients
REQUESTS = _counter("headway_requests_total", "Calls that ended, by how.", "class", "outcome")
REFUSED = _counter("headway_requests_refused_total", "Calls that headway refused, by why.", "class", "reason")
MISSED = _counter(
    "headway_deadline_missed_total", "Calls that missed their deadline, by where it was used up.", "class", "stage"
)
REQUEST_DURATION = _histogram(
    "headway_request_duration_seconds", "From a call's arrival at the proxy to the end of its answer.", "class"
)
FIRST_MESSAGE = _histogram(
    "headway_first_message_seconds",
    "From a call's arrival at the proxy to the first message of its streamed answer.",
    "class",
)
STAGE_DURATION = _histogram("headway_stage_duration_seconds", "What a call spent in each stage.", "class", "stage")
SLACK = _histogram("headway_slack_seconds", "What was left of a call's deadline, negative past it.", "class", "hop")
UNKNOWN_CLASS = _counter("headway_unknown_class_total", "Calls that named a class that does not exist.")

# Routes
EFFECTIVE_ACCURACY = MetricName(
    "headway_effective_accuracy",
    "summary",
    ("class", "route"),
    "Routed requests that ended; the quality of the models that answered in time.",
)
MODEL_SELECTED = _counter(
    "headway_model_selected_total", "Requests sent to a candidate.", "class", "route", "model", "triton"
)
POLICY_DECISION = _histogram("headway_policy_decision_seconds", "Time of one decision.", "route", "policy")
POLICY_FALLBACK = _counter(
    "headway_policy_fallback_total", "Decisions that another policy took in place of this one.", "route", "policy"
)
ROUTE_QUEUE_SIZE = _gauge("headway_route_queue_size", "Requests that wait in the daemon for a model.", "route")
ROUTE_QUEUE_BYTES = _gauge("headway_route_queue_bytes", "Bytes of the requests that wait in the daemon.", "route")
CANDIDATE_READY = _gauge(
    "headway_candidate_ready", "1 while its Triton answers and has the model.", "route", "model", "triton"
)
CANDIDATE_REQUESTS = _gauge(
    "headway_candidate_requests", "Requests sent to the candidate and not finished.", "route", "model", "triton"
)
TRITON_UP = _gauge("headway_triton_up", "1 while there is a connection to it.", "triton")

# The tunnel
TUNNEL_UP = _gauge("headway_tunnel_up", "1 while calls can be made on the tunnel to this daemon.", "peer")
TUNNEL_CONNECTS = _counter("headway_tunnel_connects_total", "Connections made to this daemon.", "peer")
QUEUE_SIZE = _gauge("headway_queue_size", "Streams that have something to send and may send it.", "direction")
QUEUE_BYTES = _gauge("headway_queue_bytes", "Bytes not sent yet, on all streams.", "direction")
SCHEDULER_MODE = _gauge("headway_scheduler_mode", "1 for the discipline in use.", "direction", "scheduler", "mode")
RTT = _gauge("headway_quic_rtt_seconds", "Smoothed round-trip time.", "direction", "peer")
MIN_RTT = _gauge("headway_quic_min_rtt_seconds", "The shortest round trip seen.", "direction", "peer")
DELIVERY_RATE = _gauge(
    "headway_quic_delivery_rate_bytes_per_second", "What the path has been seen to carry.", "direction", "peer"
)
CWND = _gauge("headway_quic_cwnd_bytes", "Congestion window.", "direction", "peer")
IN_FLIGHT = _gauge("headway_quic_in_flight_bytes", "Sent and not acknowledged.", "direction", "peer")
SENT_PACKETS = _counter(
    "headway_quic_sent_packets_total", "Packets sent that ask for an acknowledgement.", "direction", "peer"
)
LOST_PACKETS = _counter("headway_quic_lost_packets_total", "Packets declared lost.", "direction", "peer")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, MetricName))
