"""How log lines look: text for people, JSON for programs, both on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")

AIOQUIC_LOGGER = "quic"

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(level: str, *, as_json: bool = False) -> None:
    """Send the records of all loggers to standard error. `level` is one of `LEVELS`; replaces any earlier set-up.

    aioquic would have a line for each call that a client cancels, and a warning for each connection that fails, of
    which our own lines tell once. So it speaks of errors only; at debug it says everything.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(TEXT_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger(AIOQUIC_LOGGER).setLevel("NOTSET" if level == "debug" else "ERROR")
