"""Text → tree, with the place of every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config.sources import (
    Node,
    Origin,
    Override,
    Problem,
    nearest,
    overlay_environment,
    overlay_flags,
    read_file,
    read_yaml,
    unknown_key,
)

ORIGIN = Origin("headway.yaml", base=Path("/etc/headway"), typed=True)


def parsed(text: str) -> tuple[Node, list[str]]:
    problems: list[Problem] = []
    node = read_yaml(text, ORIGIN, problems)
    return node or Node(None, ORIGIN), [str(problem) for problem in problems]


def plain(node: Node) -> Any:
    """The tree without its places."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def places(node: Node) -> Any:
    """The tree of places instead of values; a mapping's own is where its key stands."""
    if isinstance(node.value, dict):
        return {key: places(child) for key, child in node.value.items()}
    return [places(child) for child in node.value] if isinstance(node.value, list) else str(node.origin)


def test_every_value_knows_its_line() -> None:
    node, problems = parsed("a: 1\nb:\n  c: x\n  d:\n    - y\n    - {e: 2.5}\n")
    assert problems == []
    assert plain(node) == {"a": 1, "b": {"c": "x", "d": ["y", {"e": 2.5}]}}
    assert places(node) == {
        "a": "headway.yaml:1",
        "b": {"c": "headway.yaml:3", "d": ["headway.yaml:5", {"e": "headway.yaml:6"}]},
    }


def test_keys_stay_as_written() -> None:
    assert plain(parsed("on: 1\n7: 2\nnull: 3\n")[0]) == {"on": 1, "7": 2, "null": 3}


def test_a_key_given_twice_is_a_problem_that_names_both_lines() -> None:
    _, problems = parsed("classes:\n  realtime: {}\n  bulk: {}\n  realtime: {}\n")
    assert problems == ["headway.yaml:4: classes.realtime: is given twice, first at headway.yaml:2"]


def test_anchors_and_merges_work() -> None:
    node, problems = parsed("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    assert problems == []
    assert plain(node) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def test_a_mapping_merged_and_named_again_is_not_given_twice() -> None:
    _, problems = parsed("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: *b\n")
    assert problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "headway.yaml:1: is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n b: 2", "headway.yaml:2: is not valid YAML: mapping values are not allowed here"),
        ("a: !thing 1", "headway.yaml:1: is not valid YAML: could not determine a constructor for the tag '!thing'"),
        ("? [1]\n: 2", "headway.yaml:1: is not valid YAML: a key must be plain text"),
        ("a: &a\n  b: *a", "headway.yaml:1: is not valid YAML: an anchor holds itself"),
        ("a: *b", "headway.yaml:1: is not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "headway.yaml:2: is not valid YAML: but found another document"),
        (
            "a: 1\0",
            "headway.yaml: is not valid YAML: unacceptable character #x0000: special characters are not allowed",
        ),
        ("[" * 5000, "headway.yaml: is nested too deep"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_not_yaml_is_one_line(text: str, problem: str) -> None:
    _, problems = parsed(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert "\n" not in problems[0]


def test_a_date_that_is_none_stays_text() -> None:
    assert plain(parsed("a: 2026-13-40")[0]) == {"a": "2026-13-40"}


def read(path: Path) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    node = read_file(path, problems)
    return plain(node), [str(problem).replace(str(path), "F") for problem in problems]


def test_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text("scheduler: rr\n", encoding="utf-8")
    assert read(path) == ({"scheduler": "rr"}, [])
    path.write_text("", encoding="utf-8")
    assert read(path) == ({}, [])
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert read(path) == ({}, [])


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "headway.yaml"
    assert read(path) == ({}, ["F: cannot be read: No such file or directory"])
    assert read(tmp_path)[1][0].endswith("cannot be read: Is a directory")
    path.write_text("- a\n", encoding="utf-8")
    assert read(path) == ({}, ["F:1: does not hold a mapping; allowed: key: value"])
    path.write_bytes(b"a: \xff\n")
    assert read(path) == ({}, ["F: is not UTF-8 text: byte 3 is 0xff"])


KNOWN = ["classes", "default_class", "scheduler", "proxy", "daemon"]


def with_environment(text: str, **environment: str) -> tuple[Node, list[str]]:
    node, _ = parsed(text)
    problems: list[Problem] = []
    overlay_environment(node, environment, KNOWN, problems)
    return node, [str(problem) for problem in problems]


def test_variables_replace_and_add() -> None:
    node, problems = with_environment(
        "proxy: {listen: a:1}\nscheduler: rr\n",
        HEADWAY_PROXY__LISTEN="b:2",
        HEADWAY_PROXY__TLS__CERT="c.pem",
        HEADWAY_SCHEDULER="edf",
        HEADWAY_DEFAULT_CLASS="bulk",
    )
    assert problems == []
    assert plain(node) == {
        "proxy": {"listen": "b:2", "tls": {"cert": "c.pem"}},
        "scheduler": "edf",
        "default_class": "bulk",
    }
    assert places(node)["proxy"] == {
        "listen": "HEADWAY_PROXY__LISTEN",
        "tls": {"cert": "HEADWAY_PROXY__TLS__CERT"},
    }


def test_a_variable_finds_names_that_the_file_chose() -> None:
    node, _ = with_environment(
        "daemon: {routes: {llama-3.1: {policy: a}}}\nclasses: {RealTime: {weight: 1}}\n",
        HEADWAY_DAEMON__ROUTES__LLAMA_3_1__POLICY="b",
        HEADWAY_CLASSES__REALTIME__WEIGHT="2",
    )
    assert plain(node) == {
        "daemon": {"routes": {"llama-3.1": {"policy": "b"}}},
        "classes": {"RealTime": {"weight": "2"}},
    }


def test_variables_that_are_none_of_ours_are_left_alone() -> None:
    node, problems = with_environment(
        "scheduler: rr\n",
        HEADWAY_PORT="tcp://10.0.0.1:8001",
        HEADWAY_SERVICE_HOST="10.0.0.1",
        HEADWAY_CONFIG="x",
        HEADWAY_SCHEDULER="",
        PATH="/bin",
    )
    assert problems == []
    assert plain(node) == {"scheduler": "rr"}


def test_a_value_inside_a_value_is_a_problem() -> None:
    node, problems = with_environment("proxy: 5\n", HEADWAY_PROXY__LISTEN="a:1")
    assert problems == ["HEADWAY_PROXY__LISTEN: proxy.listen: cannot be set: proxy is not a mapping at headway.yaml:1"]
    assert plain(node) == {"proxy": 5}


def test_flags_come_last_and_keep_capitals() -> None:
    node, _ = with_environment("proxy: {listen: a:1}\n", HEADWAY_PROXY__LISTEN="b:2")
    overlay_flags(
        node,
        [Override("proxy.listen", "c:3", "--listen"), Override("classes.Fast.deadline", "1s", "--set x")],
        [],
    )
    assert plain(node) == {"proxy": {"listen": "c:3"}, "classes": {"Fast": {"deadline": "1s"}}}
    assert places(node)["proxy"] == {"listen": "--listen"}


def test_a_problem_is_one_line() -> None:
    origin = Origin("headway.yaml", line=4)
    assert str(Problem(origin, "a.b", "is wrong", "right")) == "headway.yaml:4: a.b: is wrong; allowed: right"
    assert str(Problem(origin, "", "is wrong")) == "headway.yaml:4: is wrong"
    assert str(Problem(Origin("--listen"), "proxy.listen", "is wrong")) == "--listen: proxy.listen: is wrong"


def test_the_nearest_name() -> None:
    assert nearest("dedline", ["token_deadline", "deadline", "level"]) == "deadline"
    assert nearest("zzz", ["deadline"]) is None


def test_an_unknown_key_names_the_nearest_one() -> None:
    line = str(unknown_key(Origin("headway.yaml", line=2), "proxy.listne", ["listen", "ca"]))
    assert line == "headway.yaml:2: proxy.listne: unknown key, did you mean 'listen'?; allowed: listen, ca"
    line = str(unknown_key(Origin("headway.yaml", line=2), "zzz", ["listen", "ca"]))
    assert line == "headway.yaml:2: zzz: unknown key; allowed: listen, ca"
