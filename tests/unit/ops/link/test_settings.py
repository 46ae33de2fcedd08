from __future__ import annotations

import json
import math
from typing import Any

import pytest

from ops.link.errors import SettingsError
from ops.link.settings import Change, Direction, LinkSettings, as_json, from_json


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": 1.5}, "loss is 1.5; allowed: a share from 0 to 1"),
        ({"loss": math.nan}, "loss is nan; allowed"),
        ({"rate_bits_s": -1}, "rate_bits_s is -1; allowed: 0 or more bits a second, or math.inf"),
        ({"delay_s": "50ms"}, "delay_s is '50ms'; allowed: 0 to 3600 seconds"),
        ({"loss_burst": 0.5}, "loss_burst is 0.5; allowed: 1 packet or more"),
        ({"mtu_bytes": 20}, "mtu_bytes is 20; allowed: 68"),
        ({"loss": 0.8, "loss_burst": 2.0}, "loss_burst is 2.0; allowed at a loss of 0.8: 1, or 4 and more"),
        ({"down": {"los": 0.1}}, "down: los is none of rate_bits_s"),
        ({"down": {"loss": 2}}, "loss is 2; allowed"),
        ({"changes": (Change(1, {"loss": 2}),)}, "loss is 2; allowed"),
        ({"loss": 0.8, "changes": (Change(1, {"loss_burst": 2}),)}, "loss_burst is 2; allowed at a loss of 0.8"),
    ],
)
def test_what_no_link_can_have_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LinkSettings(**values)
    assert str(caught.value).startswith(message)


def test_a_change_is_checked_when_it_is_made() -> None:
    with pytest.raises(SettingsError, match="changes: at_s is -1"):
        Change(-1, {})
    with pytest.raises(SettingsError, match="changes: changes is none of"):
        Change(1, {"changes": 1})


def test_the_way_down_differs_where_it_is_told_to() -> None:
    settings = LinkSettings(
        rate_bits_s=1e6, delay_s=0.1, down={"rate_bits_s": 5e6}, changes=(Change(1, {"loss": 0.1}),)
    )
    assert settings.towards(Direction.UP) == LinkSettings(rate_bits_s=1e6, delay_s=0.1)
    assert settings.towards(Direction.DOWN) == LinkSettings(rate_bits_s=5e6, delay_s=0.1)


def test_settings_survive_json() -> None:
    settings = LinkSettings(
        delay_s=0.05,
        down={"loss": 0.25},
        changes=(Change(1.5, {"rate_bits_s": 2e6}), Change(2, {"loss": 1}, Direction.DOWN)),
    )
    assert from_json(json.loads(json.dumps(as_json(settings)))) == settings
