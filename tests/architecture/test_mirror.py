"""A source file has its test file at the mirrored path: `proxy/a/b.py` → `tests/unit/a/test_b.py`.

`policies/a/b.py` → `tests/unit/policies/a/test_b.py`. A file whose test is elsewhere, or that has nothing to test,
stands in `EXCEPTIONS` with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

from tests.architecture.layout import ROOT, Module, modules

EXCEPTIONS: dict[str, str] = {
    "proxy/config/rules.py": "tests/unit/config/test_load.py: rules show only in what load_config says",
    "proxy/config/reader.py": "tests/unit/config/test_load.py: the reader shows only in what load_config says",
    "proxy/demo/triton_server.py": "tests/triton/test_triton_server.py: it starts a real Triton",
}
"""Source file → the test file that covers it and why it is not at the mirrored path, or `-` and why there is none."""


def mirrored(path: str) -> tuple[str, ...]:
    """Where the test of a source file may be."""
    package, _, rest = path.removesuffix(".py").partition("/")
    holder, _, name = rest.rpartition("/")
    inside = f"{holder}/" if holder else ""
    places = (f"tests/unit/{package}/{inside}test_{name}.py",)
    return places if package == "policies" else (f"tests/unit/{inside}test_{name}.py", *places)


def has_logic(module: Module) -> bool:
    """Whether any function does something; records, constants and protocols don't."""
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in node.body)
        for node in ast.walk(module.tree)
    )


def untested(sources: Collection[Module], exceptions: Mapping[str, str], tests: Collection[str]) -> Iterator[str]:
    """The source files without a test file, and the exceptions that are none."""
    paths = {module.path for module in sources}
    for module in sources:
        found = any(place in tests for place in mirrored(module.path))
        if module.path in exceptions:
            if found:
                yield f"{module.path}: has its test file, so it is no exception"
        elif has_logic(module) and not found:
            yield f"{module.path}: no {mirrored(module.path)[0]}"
    for path, reason in exceptions.items():
        if path not in paths:
            yield f"{path}: is an exception and does not exist"
        covered_by, _, why = reason.partition(": ")
        if covered_by not in {"-", *tests} or not why:
            yield f"{path}: its exception names no test file with a reason, nor `-: reason`"


def test_every_source_file_has_its_test_file() -> None:
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    lines = list(untested(modules(), EXCEPTIONS, tests))
    assert not lines, "\n".join(lines)


CODE = "def f() -> int:\n    return 1\n"


def test_a_missing_test_file_shows() -> None:
    sources = [Module("proxy/edge/server.py", CODE), Module("policies/traffic.py", CODE)]
    assert list(untested(sources, {}, set())) == [
        "proxy/edge/server.py: no tests/unit/edge/test_server.py",
        "policies/traffic.py: no tests/unit/policies/test_traffic.py",
    ]
    assert list(untested(sources, {}, {"tests/unit/edge/test_server.py", "tests/unit/policies/test_traffic.py"})) == []


def test_a_file_without_logic_needs_no_test() -> None:
    port = 'class Port(Protocol):\n    def open(self) -> int:\n        """Open."""\n    def close(self) -> None: ...\n'
    assert list(untested([Module("proxy/edge/__init__.py", '"""The edge."""\n')], {}, set())) == []
    assert list(untested([Module("proxy/edge/port.py", port)], {}, set())) == []


def test_an_exception_must_hold() -> None:
    sources = [Module("proxy/edge/server.py", CODE)]
    tests = {"tests/loopback/test_edge.py"}
    good = {"proxy/edge/server.py": "tests/loopback/test_edge.py: sockets all the way"}
    assert list(untested(sources, good, tests)) == []
    assert list(untested(sources, good, {*tests, "tests/unit/edge/test_server.py"})) == [
        "proxy/edge/server.py: has its test file, so it is no exception"
    ]
    assert list(untested([], good, tests)) == ["proxy/edge/server.py: is an exception and does not exist"]
    assert list(untested(sources, {"proxy/edge/server.py": "tests/gone.py: moved"}, tests)) == [
        "proxy/edge/server.py: its exception names no test file with a reason, nor `-: reason`"
    ]
