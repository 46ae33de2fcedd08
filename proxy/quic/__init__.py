"""The tunnel's packets: gRPC over HTTP/3 over QUIC.

`connection` and `send_buffer` bend aioquic's connection to scheduled streams and credit that follows consumption;
`http3` sets its HTTP/3 up for gRPC; `driver` turns sockets and timers into calls; `endpoint` joins connection and
tunnel session; `calls` offers them as exchange calls; `client` and `server` are the two ends; `clock_sync` compares
their clocks.
"""
