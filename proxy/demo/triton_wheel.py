"""Triton as the nvidia-pytriton wheel carries it: where its parts are, and how to lay them out so that it runs.

The wheel's own launcher is not used (it fails on Python 3.11.7). The server binary runs where it lies. Its Python
backend needs a folder in which the stub for this Python's version, one of several in the wheel, lies beside the
backend's library.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import HeadwayError

STUB = "triton_python_backend_stub"


class TritonMissingError(HeadwayError):
    """Triton can't run here; the text says what to install or to change."""


@dataclass(frozen=True)
class Machine:
    """What decides whether the wheel's Triton can run."""

    system: str = field(default_factory=platform.system)
    """As `platform.system()` says: Linux, Darwin, Windows."""
    processor: str = field(default_factory=platform.machine)
    """As `platform.machine()` says: x86_64, arm64."""
    python: str = field(default_factory=lambda: f"{sys.version_info.major}.{sys.version_info.minor}")
    """Major and minor version of the Python that the models run in."""


@dataclass(frozen=True)
class TritonWheel:
    """The parts of an installed wheel."""

    server: Path
    """The program."""
    backends: Path
    """Folder with the backends' libraries, without the Python backend's stub."""
    stub: Path
    """The program that runs one model instance, for this Python's version."""
    libraries: Path
    """Folder with the shared libraries of all three."""
    python_library: Path | None
    """This Python's own shared library, where the system's loader would not find it by itself."""

    def lay_out(self, folder: Path) -> None:
        """Make `folder`/backends and `folder`/libraries, which `--backend-directory` and the loader's path need."""
        python = folder / "backends" / "python"
        shutil.copytree(self.backends / "python", python, ignore=shutil.ignore_patterns("__pycache__"))
        stub = python / STUB
        shutil.copyfile(self.stub, stub)
        stub.chmod(0o755)
        own = folder / "libraries"
        own.mkdir()
        if self.python_library is not None:
            # A link to this one file, since the folder it lies in may hold other versions of what Triton brings along.
            (own / self.python_library.name).symlink_to(self.python_library)


def find_triton_wheel(machine: Machine | None = None, package: Path | None = None) -> TritonWheel:
    """Locate Triton for this machine. Raises TritonMissingError where it is not installed or cannot run.

    `package` is the folder of the package `pytriton`; by default the one that this Python would import.
    """
    machine = machine or Machine()
    if (machine.system, machine.processor) != ("Linux", "x86_64"):
        raise TritonMissingError(
            f"the Triton wheel exists for Linux on x86_64 only, this is {machine.system} on {machine.processor}: "
            "run this in a Linux container, or run `headway daemon` against a Triton elsewhere"
        )
    package = package or _installed_package()
    if package is None:
        raise TritonMissingError('Triton is not installed in this Python environment: pip install "headway[demo]"')
    root = package / "tritonserver"
    stubs = root / "python_backend_stubs"
    stub = stubs / machine.python / STUB
    if not stub.is_file():
        known = sorted((path.name for path in stubs.glob("3.*")), key=lambda name: int(name.partition(".")[2]))
        raise TritonMissingError(
            f"this Triton runs models in Python {', '.join(known)}, and this is Python {machine.python}: "
            "make the environment with one of those"
        )
    libraries = package.parent / "nvidia_pytriton.libs"
    return TritonWheel(
        server=root / "bin" / "tritonserver",
        backends=root / "backends",
        stub=stub,
        libraries=libraries,
        python_library=_python_library(machine, stub),
    )


def _installed_package() -> Path | None:
    """The folder of `pytriton`, found without importing it."""
    spec = importlib.util.find_spec("pytriton")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _python_library(machine: Machine, stub: Path) -> Path | None:
    """The libpython that the stub is linked to, as a path if the loader needs to be told. Raises when there is none."""
    name = f"libpython{machine.python}.so.1.0"
    if name.encode() not in stub.read_bytes():
        return None  # a stub that is linked to a copy inside the wheel
    beside = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib") / name
    if beside.is_file():
        return beside
    try:
        ctypes.CDLL(name)
    except OSError:
        raise TritonMissingError(
            f"Triton needs {name}, and neither this Python ({sys.executable}) nor the system has it: "
            f"on Debian and Ubuntu `apt-get install libpython{machine.python}`; pyenv needs --enable-shared"
        ) from None
    return None
