from __future__ import annotations

from pathlib import Path

from proxy.profiling.machine import cores, cpu_name, gpu_names


def test_names_of_the_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor: 1\nmodel name: A CPU\n")
    assert cpu_name(tmp_path / "cpuinfo") == "A CPU @ 2 GHz"
    assert cpu_name(tmp_path / "none") == "unknown"
    assert cores() >= 1


def test_names_of_graphics_processors(tmp_path: Path) -> None:
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text("Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 44\n")
    (tmp_path / "0000:03:00.0").mkdir()
    assert gpu_names(tmp_path) == ("NVIDIA A100-SXM4-80GB",) * 2
    assert gpu_names(tmp_path / "none") == ()
