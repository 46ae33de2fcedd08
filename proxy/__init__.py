"""Everything in headway that moves bytes.

The way of one request, station by station:

`edge` takes the call from a stock gRPC client, classifies it and opens it on the `pool` of daemons; `relay` joins the
two. `tunnel` maps the call to one HTTP/3 stream, `quic` sends the stream's packets in the order that
`policies.scheduling` asks for. On the other side `quic` and `tunnel` make a call of the stream again; `daemon` lets
`policies.selection` choose the Triton model that answers, and calls it over `http2`. The answer takes the same way
back. `tcp` is the tunnel over HTTP/2 and TLS, where UDP is blocked.

Beside the way: `discovery` keeps the pool's daemons in step with a DNS name, `config` reads the file, `compose` builds
proxy and daemon out of their parts, `cli` is the command line, `telemetry` tells where each deadline went, `control`
lets an operator look in and switch, `control_call` compares the two ends' clocks, `tracefile` reads and draws traces,
`profiling` measures models, `demo` and `testing` run all of it.
"""
