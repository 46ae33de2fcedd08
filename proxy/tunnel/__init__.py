"""One call as one HTTP/3 stream, without I/O: bytes and headers in, exchange events out.

`exchange` is the port that edge and daemon program against; `headers` maps a call's head, answer and status to header
sections, with `metadata` and `timeouts`; `frames` and `messages` cut a stream into HTTP/3's frames and those into
messages; `stream` is the state table of one call on either side; `flow` counts what may be buffered. `tunnel` is what
the proxy sees of the way to one daemon, `gate` what the daemon makes of an arriving request, `clock_sync` the offset
between their clocks, `far_times` how the daemon tells when a call passed it, `methods` what is known to be unary.
"""
