from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from proxy.logs import set_up_logging


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("quic").setLevel(logging.NOTSET)


def test_text_lines_have_time_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    logging.getLogger("proxy.edge").warning("class %s is unknown", "x")
    logging.getLogger("proxy.edge").debug("not shown")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING proxy\.edge: class x is unknown\n", line)


def test_json_lines_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", as_json=True)
    logger = logging.getLogger("proxy.edge")
    logger.debug("line one\nline two")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first == {"level": "debug", "logger": "proxy.edge", "message": "line one\nline two"}
    assert (second["level"], second["message"]) == ("error", "failed")
    assert second["error"].endswith("ValueError: broken")


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", ["info", "warning", "error"]), ("info", ["error"]), ("error", ["error"])],
)
def test_aioquics_lines_about_calls_and_connections_are_for_debugging(
    level: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("info")
    set_up_logging(level, as_json=True)
    quic = logging.getLogger("quic")
    quic.info("Stream 40 reset by peer")
    quic.warning("x")
    quic.error("x")
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == shown
