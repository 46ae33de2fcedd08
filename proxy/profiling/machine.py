"""What this machine computes with, by the names that the makers give it; nothing that says whose machine it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CPU_NAME = re.compile(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+?)\s*$", re.MULTILINE)
_GPU_NAME = re.compile(r"^Model:\s*(.+?)\s*$", re.MULTILINE)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Such as `AMD EPYC 9654 96-Core Processor`; `unknown` where the system does not say."""
    found = _CPU_NAME.search(_text(cpuinfo))
    return found[1] if found else "unknown"


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_names(driver: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[str, ...]:
    """NVIDIA's, one each; empty where there is none."""
    files = sorted(driver.glob("*/information")) if driver.is_dir() else []
    return tuple(found[1] for file in files if (found := _GPU_NAME.search(_text(file))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
