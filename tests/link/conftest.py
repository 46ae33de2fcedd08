"""Real namespaces and real kernel TCP; where they are not permitted the tests are skipped with the reason."""

from __future__ import annotations

import pytest

from ops.link import namespaces_permitted


@pytest.fixture(scope="session", autouse=True)
def _permitted() -> None:
    reason = namespaces_permitted()
    if reason is not None:
        pytest.skip(f"the emulated link can't be had: {reason}")
