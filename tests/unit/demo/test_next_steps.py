from __future__ import annotations

from pathlib import Path

import pytest

from proxy.demo.next_steps import Surroundings, after_keeping, after_the_end


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone after `make demo`, and another headway and Python on the machine."""
    for name in ("clone/.venv/bin/python", "clone/.venv/bin/headway", "usr/bin/python", "usr/bin/headway"):
        program(tmp_path / name)
    program(tmp_path / "clone/examples/02_traffic_classes.py")
    return tmp_path


def in_the_clone(tree: Path, search_path: str) -> Surroundings:
    clone = tree / "clone"
    return Surroundings(clone, clone / ".venv/bin/python", search_path, clone / "examples")


def test_where_path_leads_elsewhere_commands_have_their_path(tree: Path) -> None:
    here = in_the_clone(tree, f"{tree}/usr/bin")
    assert [step.command for step in after_keeping(here, "127.0.0.1:8001", Path("/tmp/a b/headway.yaml"))] == [
        ".venv/bin/python examples/02_traffic_classes.py --url 127.0.0.1:8001",
        ".venv/bin/headway check -c '/tmp/a b/headway.yaml'",
    ]
    assert [step.command for step in after_the_end(here)] == [
        ".venv/bin/headway demo --keep",
        ".venv/bin/headway demo --seconds 30 --traces-file other.jsonl",
        ".venv/bin/headway daemon --help",
    ]


def test_in_an_activated_environment_names_do(tree: Path) -> None:
    here = in_the_clone(tree, f"{tree}/clone/.venv/bin:{tree}/usr/bin")
    assert after_the_end(here)[0].command == "headway demo --keep"
    assert after_keeping(here, "127.0.0.1:8001", tree / "clone/headway.yaml")[1].command == (
        "headway check -c headway.yaml"
    )


def test_from_another_directory_paths_are_whole(tree: Path) -> None:
    clone = tree / "clone"
    here = Surroundings(tree / "usr", clone / ".venv/bin/python", "", clone / "examples")
    assert after_keeping(here, "h:1", Path("/c"))[0].command == (
        f"{clone}/.venv/bin/python {clone}/examples/02_traffic_classes.py --url h:1"
    )


def test_without_a_command_or_examples(tree: Path) -> None:
    (tree / "clone/.venv/bin/headway").unlink()
    here = Surroundings(tree / "clone", tree / "clone/.venv/bin/python", "", tree / "nowhere")
    assert [step.command for step in after_keeping(here, "h:1", Path("/c"))] == [
        ".venv/bin/python -m proxy.cli check -c /c"
    ]
