from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config import load_config
from proxy.config.load import ROLES
from proxy.config.records import Config, Role
from proxy.control.targets import Target, target_at, targets_of
from proxy.errors import ConfigError

PROXY = "proxy:\n  daemons: ['gpu-host:4433']\n"
DAEMON = "daemon:\n  cert: daemon.pem\n  key: daemon.key\n  tritons: {a: {url: 'localhost:8101'}}\n"
TLS = "  control_tls: {cert: a.pem, key: a.key, client_ca: ca.pem}\n"


def listening(address: str) -> str:
    return f"  control_listen: '{address}'\n"


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Config]:
    """Loads a text on a machine that has none of the files that it names."""

    def load(text: str) -> Config:
        path = tmp_path / "headway.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, check_files=False)

    return load


def test_both_roles_of_a_file(config: Callable[[str], Config]) -> None:
    settings = config(PROXY + listening("127.0.0.1:8009") + DAEMON + listening("localhost:8010"))
    assert targets_of(settings, ROLES) == [
        Target("127.0.0.1:8009", tls=False, role="proxy"),
        Target("localhost:8010", tls=False, role="daemon"),
    ]
    assert [str(target) for target in targets_of(settings, ["daemon"])] == ["daemon at localhost:8010"]


@pytest.mark.parametrize(
    ("listen", "address"),
    [("0.0.0.0:8009", "127.0.0.1:8009"), ("[::]:8009", "[::1]:8009"), ("gpu-host:8009", "gpu-host:8009")],
)
def test_on_all_addresses_is_also_on_loopback(config: Callable[[str], Config], listen: str, address: str) -> None:
    settings = config(PROXY + listening(listen) + TLS)
    assert targets_of(settings, ROLES) == [Target(address, tls=True, role="proxy")]


UNSET = "control_listen: is not set; allowed: an address on loopback such as 127.0.0.1:8009"


@pytest.mark.parametrize(
    ("text", "roles", "problems"),
    [
        (PROXY + DAEMON, ROLES, [f"headway.yaml:1: proxy.{UNSET}", f"headway.yaml:3: daemon.{UNSET}"]),
        (PROXY + listening("127.0.0.1:8009") + DAEMON, ["daemon"], [f"headway.yaml:4: daemon.{UNSET}"]),
        (PROXY, ["daemon"], ["headway.yaml:1: daemon: missing"]),
        (
            PROXY + listening("127.0.0.1:0"),
            ROLES,
            [
                (
                    "headway.yaml:3: proxy.control_listen: "
                    "is port 0, so that only the process's log has the address: give it with --at"
                )
            ],
        ),
    ],
)
def test_no_address_to_ask_at(
    config: Callable[[str], Config], tmp_path: Path, text: str, roles: list[Role], problems: list[str]
) -> None:
    settings = config(text)
    with pytest.raises(ConfigError) as error:
        targets_of(settings, roles)
    assert [line.removeprefix(f"{tmp_path}/") for line in error.value.problems] == problems


def test_an_address_by_hand() -> None:
    assert target_at("[::1]:8009", tls=True) == Target("[::1]:8009", tls=True)
    assert str(target_at("gpu-host:8009", tls=False)) == "gpu-host:8009"


@pytest.mark.parametrize(("text", "what"), [("gpu-host", "has no port"), (":8009", "no host"), ("gpu:0", "no usable")])
def test_an_address_by_hand_that_is_none(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=rf"'{text}' .*{what}|{what}") as error:
        target_at(text, tls=False)
    assert "allowed: host:port" in str(error.value)
