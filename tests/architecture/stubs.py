"""Makes the generated modules of `proto/`: `python -m tests.architecture.stubs --write` puts them in `proxy/pb`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
STUBS = ROOT / "proxy" / "pb"

PACKAGE_DOC = '"""Generated from `proto/` by `make proto`; not to be edited."""\n'


class GenerationError(Exception):
    """protoc refused; what it said is on standard error."""


def sources() -> list[Path]:
    """The .proto files."""
    return sorted(PROTO.rglob("*.proto"))


def generate(out: Path, protos: Sequence[Path], root: Path = PROTO) -> None:
    """Write messages and their types for each source, and a package file in every directory on the way."""
    out.mkdir(parents=True, exist_ok=True)
    well_known = files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{root}", f"-I{well_known}", f"--python_out={out}", f"--pyi_out={out}"]
    if protoc.main([*arguments, *(str(path) for path in protos)]) != 0:
        raise GenerationError
    for directory in (out, *(path for path in out.rglob("*") if path.is_dir())):
        (directory / "__init__.py").write_text(PACKAGE_DOC, encoding="utf-8")


def contents(directory: Path) -> dict[str, str]:
    """The text of every Python file below a directory, by its path there."""
    return {
        str(path.relative_to(directory)): path.read_text(encoding="utf-8")
        for path in sorted(directory.rglob("*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


def main() -> None:
    """Replace `proxy/pb`."""
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.architecture.stubs --write")
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "pb"
        generate(fresh, sources())
        shutil.rmtree(STUBS, ignore_errors=True)
        shutil.copytree(fresh, STUBS)
    sys.stdout.writelines(f"proxy/pb/{name}\n" for name in contents(STUBS))


if __name__ == "__main__":
    main()
