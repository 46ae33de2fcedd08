from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.demo.triton_wheel import Machine, TritonMissingError, find_triton_wheel

LINUX = Machine(system="Linux", processor="x86_64", python="3.11")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder laid out as the wheel is, with files of a few bytes."""
    root = tmp_path / "pytriton" / "tritonserver"
    for version in ("3.9", "3.10", "3.11"):
        stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
        stub.parent.mkdir(parents=True)
        stub.write_bytes(b"stub for %s" % version.encode())
    backend = root / "backends" / "python"
    (backend / "__pycache__").mkdir(parents=True)
    (backend / "libtriton_python.so").write_bytes(b"library")
    return tmp_path / "pytriton"


def test_finds_the_stub_of_this_python(package: Path) -> None:
    wheel = find_triton_wheel(LINUX, package)
    assert wheel.stub == package / "tritonserver" / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    assert wheel.server == package / "tritonserver" / "bin" / "tritonserver"
    assert wheel.libraries == package.parent / "nvidia_pytriton.libs"
    assert wheel.python_library is None


def test_lays_out_backend_and_stub_with_run_bits(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    find_triton_wheel(LINUX, package).lay_out(folder)
    python = folder / "backends" / "python"
    assert sorted(path.name for path in python.iterdir()) == ["libtriton_python.so", "triton_python_backend_stub"]
    assert (python / "triton_python_backend_stub").read_bytes() == b"stub for 3.11"
    assert (python / "triton_python_backend_stub").stat().st_mode & 0o777 == 0o755
    assert list((folder / "libraries").iterdir()) == []


def test_the_installed_wheel_is_found_without_arguments() -> None:
    wheel = find_triton_wheel()
    assert wheel.server.is_file()
    assert wheel.libraries.is_dir()
    assert wheel.stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(("system", "processor"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_another_platform_is_named_with_a_way_out(package: Path, system: str, processor: str) -> None:
    with pytest.raises(TritonMissingError, match=f"this is {system} on {processor}: run this in a Linux container"):
        find_triton_wheel(Machine(system=system, processor=processor, python="3.11"), package)


def test_a_python_without_a_stub_is_told_which_have_one(package: Path) -> None:
    with pytest.raises(TritonMissingError, match=r"in Python 3\.9, 3\.10, 3\.11, and this is Python 3\.14"):
        find_triton_wheel(Machine(system="Linux", processor="x86_64", python="3.14"), package)


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytriton", None)
    with pytest.raises(TritonMissingError, match=r'pip install "headway\[demo\]"'):
        find_triton_wheel(LINUX)


def test_a_missing_python_library_is_named(package: Path) -> None:
    stub = package / "tritonserver" / "python_backend_stubs" / "3.9" / "triton_python_backend_stub"
    stub.write_bytes(b"needs libpython3.9.so.1.0")
    with pytest.raises(TritonMissingError, match=r"apt-get install libpython3\.9"):
        find_triton_wheel(Machine(system="Linux", processor="x86_64", python="3.9"), package)
