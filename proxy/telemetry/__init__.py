"""What headway tells about the calls it carries.

`names` has every name, `tracing` is what the stations of a call use. Behind it `recording` keeps spans while calls
last, `sampling` decides which calls are traced whatever becomes of them, `propagation` carries the trace from process
to process in the call's metadata, and `span_record` says what a finished span comes to. `span_queue` takes finished
spans off the event loop, and `exporters` chooses where they go: to a collector by OpenTelemetry's exporters (`sdk`), or
to a file (`otlp_file`, in the encoding of `otlp_json`).

`stages` says where the time of a call went, out of what the stations noted: `accounting` for the proxy, with
`streamed_answer` for answers of many messages, and `daemon_account` for the daemon.

`metric_names` has every metric, `metrics` the numbers that calls add to: `call_metrics` those of a proxy's calls,
`route_metrics` those of a daemon's routes; `path_metrics` and `certificate_metrics` read the others at a scrape.
`exposition` writes them as text, `scrape_server` is where Prometheus gets it.
"""
