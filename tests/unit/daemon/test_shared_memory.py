from __future__ import annotations

import pytest

from proxy.daemon.shared_memory import require_same_host
from proxy.daemon.triton import SERVICE
from proxy.errors import CallError, Code

PATH = f"{SERVICE}SystemSharedMemoryRegister"


@pytest.mark.parametrize(
    "peer", ["127.0.0.1:5000", "127.8.9.1:1", "[::1]:5000", "[::ffff:127.0.0.1]:9", "unix:/run/x", "unix:"]
)
@pytest.mark.parametrize("backend", ["localhost:8001", "LOCALHOST:8001", "127.0.0.1:8001", "[::1]:8001"])
def test_local_on_both_sides_passes(peer: str, backend: str) -> None:
    require_same_host(PATH, peer, backend)


@pytest.mark.parametrize(
    ("peer", "backend"),
    [
        ("10.0.0.1:5000", "localhost:8001"),
        ("127.0.0.1:5000", "gpu-host:8001"),
        ("[2001:db8::1]:5000", "[::1]:8001"),
        ("", "localhost:8001"),
        ("not an address", "localhost:8001"),
    ],
)
def test_otherwise_it_is_refused(peer: str, backend: str) -> None:
    with pytest.raises(CallError) as refused:
        require_same_host(PATH, peer, backend)
    assert refused.value.code == Code.UNIMPLEMENTED


def test_the_text_names_the_method_and_both_ends() -> None:
    with pytest.raises(CallError) as refused:
        require_same_host(PATH, "10.0.0.1:5000", "gpu:8001")
    assert refused.value.message == (
        "SystemSharedMemoryRegister is not possible through headway: shared memory needs the client and Triton on one"
        " host, the client is at 10.0.0.1:5000 and Triton at gpu:8001"
    )
