"""Payloads that both sides can make from a seed, so that content is compared and not only counted."""

import random


def payload(size_bytes: int, seed: int = 0) -> bytes:
    """Return `size_bytes` incompressible bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


def compressible(size_bytes: int) -> bytes:
    """Return `size_bytes` bytes that gzip and deflate shrink, so that grpc does send them compressed."""
    return (b"headway conformance " * (size_bytes // 20 + 1))[:size_bytes]
