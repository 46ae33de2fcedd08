"""The checked-in message classes are what the .proto file generates."""

import pathlib

from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
PROTO = "tests/conformance/pb/conformance.proto"


def test_regenerating_changes_nothing(tmp_path: pathlib.Path) -> None:
    """Repair: `python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. tests/conformance/pb/conformance.proto`."""
    arguments = ["protoc", f"-I{ROOT}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", PROTO]
    assert protoc.main(arguments) == 0

    for name in ("conformance_pb2.py", "conformance_pb2.pyi"):
        generated = tmp_path / "tests" / "conformance" / "pb" / name
        assert generated.read_text() == (HERE / "pb" / name).read_text()
