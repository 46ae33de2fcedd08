"""Calls of the exchange port over gRPC itself (HTTP/2): from stock clients, to backends, and along the TLS/TCP tunnel.

`incoming` serves, `outgoing` calls, `statuses` translates grpc's status codes, `health` tells how a process is.
"""
