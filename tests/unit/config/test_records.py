from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from policies.scheduling.registry import SCHEDULERS as REGISTERED_SCHEDULERS
from policies.selection.registry import POLICIES as REGISTERED_POLICIES
from policies.selection.registry import POLICIES_WITH_ARGUMENT
from policies.traffic import TrafficClass
from proxy.config import records
from proxy.config.records import (
    POLICIES,
    SCHEDULERS,
    CandidateSettings,
    ClassSettings,
    Config,
    ControlTlsSettings,
    DaemonSettings,
    ProxySettings,
    RouteSettings,
    TelemetrySettings,
    TlsSettings,
    TrafficSettings,
    TritonSettings,
)
from proxy.config.sources import Origin
from proxy.errors import ConfigError


def test_a_class_becomes_the_shared_one() -> None:
    settings = ClassSettings("bulk", 7.0, 2.3, 2, "high", 3.0, "fail")
    assert settings.traffic_class() == TrafficClass("bulk", 7.0, 2.3, 2, "high", 3.0, "fail")
    assert ClassSettings("x", math.inf).traffic_class() == TrafficClass("x", math.inf)


@pytest.mark.parametrize(
    "record",
    [
        CandidateSettings,
        ClassSettings,
        Config,
        ControlTlsSettings,
        DaemonSettings,
        ProxySettings,
        RouteSettings,
        TelemetrySettings,
        TlsSettings,
        TrafficSettings,
        TritonSettings,
    ],
)
def test_records_are_frozen(record: type) -> None:
    assert record in vars(records).values()
    field = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(object.__new__(record), field, None)


def test_every_registered_name_is_part_of_the_contract() -> None:
    assert set(REGISTERED_SCHEDULERS) <= set(SCHEDULERS)
    assert {*REGISTERED_POLICIES, *POLICIES_WITH_ARGUMENT} - {"thresholds"} <= set(POLICIES)  # for evaluations only


def config(**origins: Origin) -> Config:
    return Config(
        TrafficSettings({}, "standard"),
        "edf",
        TelemetrySettings(),
        origins={key.replace("__", "."): origin for key, origin in origins.items()},
    )


def test_a_problem_in_use_names_where_the_value_was_written() -> None:
    settings = config(proxy__listen=Origin("headway.yaml", line=8), proxy=Origin("headway.yaml", line=7))
    assert settings.problem("proxy.listen", "is taken") == "headway.yaml:8: proxy.listen: is taken"
    assert settings.problem("proxy.health", "is taken", "x") == "headway.yaml:7: proxy.health: is taken; allowed: x"
    assert settings.problem("telemetry", "is wrong") == "default: telemetry: is wrong"


def test_only_one_role() -> None:
    telemetry, traffic = TelemetrySettings(), TrafficSettings({}, "standard")
    proxy, daemon = ProxySettings(daemons=()), DaemonSettings(Path("c"), Path("k"), tritons={})
    both = Config(traffic, "edf", telemetry, proxy, daemon)
    assert both.only(["proxy"]) == Config(traffic, "edf", telemetry, proxy)
    assert both.only(["daemon"]) == Config(traffic, "edf", telemetry, daemon=daemon)
    assert both.only(["proxy", "daemon"]) == both


def test_a_missing_section_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"^default: proxy: missing$"):
        config().require_proxy()
    with pytest.raises(ConfigError, match=r"^default: daemon: missing$"):
        config().require_daemon()
