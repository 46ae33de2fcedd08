"""The tunnel's packets: gRPC over HTTP/3 over QUIC.

`connection` and `send_buffer` bend aioquic's connection to scheduled streams and credit that follows consumption;
`http3` sets its HTTP/3 up for gRPC; `port` is the way to the network and `driver` the one over sockets; `endpoint`
drives a connection and hands each stream's bytes to its call; `calls` makes exchange calls of them; `client` and
`server` are the two ends, `call_notes` keeps when a call passes them. `path_mtu` finds how large packets may be,
`stateless_reset` tells that a connection is gone, `limits` has what a peer may send ahead.
"""
