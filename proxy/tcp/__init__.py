"""The tunnel over TLS and TCP: gRPC over HTTP/2, behind the same ports.

The baseline, and the way where UDP is blocked.
"""
