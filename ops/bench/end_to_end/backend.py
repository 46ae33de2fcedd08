"""Triton on a model repository, as a program: `python -m ops.bench.end_to_end.backend REPOSITORY LOG`.

Writes an empty JSON object when it is ready, and ends Triton at SIGTERM without letting it finish. Ports are fixed: it
runs in a network namespace of the cell's own.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from proxy.demo.triton_server import Ports, TritonServer, TritonSettings

PORTS = Ports(grpc=8101, http=8102, metrics=8103)


async def serve(repository: Path, log: Path) -> None:
    """Until SIGTERM. Raises `TritonError` when it does not start, or ends."""
    serving = asyncio.current_task()
    assert serving is not None  # noqa: S101 -- asyncio.run made one
    settings = TritonSettings(explicit_control=False, log_file=log)
    async with TritonServer(repository, settings, choose_ports=lambda: PORTS) as triton:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        print("{}", flush=True)
        try:
            await triton.exited()
        except asyncio.CancelledError:
            await triton.kill()  # what is under way is of no use to anybody
            return
        raise triton.failure()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
