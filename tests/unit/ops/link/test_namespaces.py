"""What needs no privileges; the rest is in tests/link."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.link import namespaces
from ops.link.errors import LinkError
from ops.link.namespaces import Trace


def test_links_are_known_by_their_namespaces_names(tmp_path: Path) -> None:
    for name in ("hw-12-0-near", "hw-12-0-far", "hw-7-3-far", "hw-9-1-probe", "blue", "hw-x-0-near", "hw-1-1-middle"):
        (tmp_path / name).touch()
    assert namespaces.links(tmp_path) == [Trace("hw-12-0", 12), Trace("hw-7-3", 7), Trace("hw-9-1", 9)]
    assert namespaces.links(tmp_path / "none") == []


def test_who_is_alive() -> None:
    assert namespaces.alive(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # has ended, and nobody has taken note
        assert not namespaces.alive(child.pid)
    assert not namespaces.alive(child.pid)


def test_a_name_is_free_for_others_only_when_all_of_its_namespaces_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[set[str]] = []

    def ip(*arguments: str) -> None:
        assert arguments[:2] == ("netns", "del")
        (tmp_path / arguments[2]).unlink()
        left.append({path.name for path in tmp_path.iterdir()})

    for part in namespaces.SIDES:
        (tmp_path / f"hw-12-0-{part}").touch()
    monkeypatch.setattr(namespaces, "HOME", tmp_path)
    monkeypatch.setattr(namespaces, "ip", ip)
    monkeypatch.setattr(namespaces, "end_processes", lambda _: None)
    namespaces.delete("hw-12-0")
    # `create` takes a name by adding the near one, and counts on being able to add the far one then.
    assert left == [{"hw-12-0-near"}, set()]


@pytest.mark.parametrize("key", ["kernel.hostname", "net.ipv4/../../kernel", "net"])
def test_only_a_namespace_s_own_settings_are_touched(key: str) -> None:
    with pytest.raises(LinkError, match="is not one of a namespace's own settings"):
        namespaces.read_sysctl(key)


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(LinkError, match=r"net\.ipv4\.tcp_miracle can't be read: No such file"):
        namespaces.read_sysctl("net.ipv4.tcp_miracle")


def test_a_namespace_that_does_not_exist_can_t_be_entered() -> None:
    with pytest.raises(LinkError, match="there is no namespace hw-0-0-near"), namespaces.inside("hw-0-0-near"):
        pass
    assert namespaces.processes("hw-0-0-near") == []


def test_what_ip_says_is_the_error() -> None:
    try:
        namespaces.ip("nonsense")
    except LinkError as error:
        assert "nonsense" in str(error) or "there is no `ip` command" in str(error)  # noqa: PT017 -- either may be
    else:
        pytest.fail("ip knows nonsense")
