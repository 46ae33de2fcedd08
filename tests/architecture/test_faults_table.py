"""The table of faults in `tests/README.md` has every fault that concerns what exists, and names tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from tests.architecture.layout import ROOT

FAULTS = (*range(1, 18), 25, 26, 28, 30, 31, 40, 44)

_ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \|")
_IDS = re.compile(r"`(tests/[^`]+)`")


def rows(text: str) -> list[tuple[int, str, str]]:
    """Fault, part and cell of each row."""
    found = (_ROW.fullmatch(line) for line in text.splitlines())
    return [(int(row[1]), row[2].strip(), row[3].strip()) for row in found if row is not None]


def names(text: str) -> set[str]:
    """The tests of a file, as pytest has them after the file's name."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}::{item.name}" for item in methods}
        elif isinstance(node, ast.Assign):  # a state machine of hypothesis
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.rpartition("::")[2].lower().startswith("test")}


def problems(text: str, files: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a table, given the test files by their paths."""
    table = rows(text)
    listed = {fault for fault, _, _ in table}
    yield from (f"{fault}: has no row" for fault in FAULTS if fault not in listed)
    for fault, part, cell in table:
        tests = _IDS.findall(cell)
        if not tests and not re.fullmatch(r"missing: .+", cell):
            yield f"{fault}: {part}: names neither tests nor what is missing"
        for test in tests:
            path, _, name = test.partition("::")
            if path not in files:
                yield f"{fault}: {path} does not exist"
            elif name not in names(files[path]):
                yield f"{fault}: {path} has no {name}"


def test_every_fault_has_its_tests() -> None:
    text = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    wrong = list(problems(text, files))
    assert not wrong, "\n".join(wrong)


FILE = {"tests/test_a.py": "def test_one(): ...\nclass TestB:\n  async def test_two(self): ...\nTestC = D.TestCase\n"}
REST = "".join(f"| {fault} | all | missing: it |\n" for fault in FAULTS if fault != 1)


def test_tests_of_every_kind_are_found() -> None:
    ids = "`tests/test_a.py::test_one`<br>`tests/test_a.py::TestB::test_two`<br>`tests/test_a.py::TestC`"
    assert list(problems(f"{REST}| 1 | all | {ids} |", FILE)) == []


def test_what_is_not_there_shows() -> None:
    ids = "`tests/test_a.py::test_two`<br>`tests/gone.py::test_one`"
    assert list(problems(f"{REST}| 1 | all | {ids} |", FILE)) == [
        "1: tests/test_a.py has no test_two",
        "1: tests/gone.py does not exist",
    ]
    assert list(problems(REST, FILE)) == ["1: has no row"]
    assert list(problems(f"{REST}| 1 | all | later |", FILE)) == ["1: all: names neither tests nor what is missing"]
