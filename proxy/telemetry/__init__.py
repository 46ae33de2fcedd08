"""What headway tells about the calls it carries.

`names` has every name, `tracing` is what the stations of a call use, `recording` makes OpenTelemetry spans behind it,
`propagation` carries the trace from process to process in the call's metadata, `span_queue` takes finished spans off
the event loop, and `exporters` chooses where they go: a collector, or `otlp_file`.
"""
