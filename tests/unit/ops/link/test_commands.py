from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ops.link import __main__ as tool
from ops.link import commands
from ops.link.errors import SettingsError
from ops.link.settings import Change, LinkSettings
from ops.link.statistics import DirectionStatistics, LinkStatistics


def test_flags_go_before_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("link: {rate: 5mbit, loss: 1%}\nrequests: 80\n")
    assert commands.settings_of({"rate": "2mbit"}, scenario=file) == LinkSettings(rate_bits_s=2e6, loss=0.01)
    file.write_text("{rate: 5mbit, loss: 1%}")
    assert commands.settings_of({}, changes="1s loss=2%", scenario=file) == LinkSettings(
        rate_bits_s=5e6, loss=0.01, changes=(Change(1.0, {"loss": 0.02}),)
    )


def test_errors_name_flag_or_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--loss-burst: '0' is not a number of packets"):
        commands.settings_of({"loss_burst": "0"})
    with pytest.raises(SettingsError, match=r"^--changes\[0\]\.rate: 'x' is not a rate"):
        commands.settings_of({}, changes="1s rate=x")
    file = tmp_path / "scenario.yaml"
    for text, message in (
        ("link: {rat: 5mbit}", f"^{file}.rat is unknown; did you mean rate"),
        ("- 1", "has no link: a mapping"),
        ("a: [", "^--scenario .*while parsing"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            commands.settings_of({}, scenario=file)
    with pytest.raises(SettingsError, match=r"^--scenario .*none\.yaml: .*No such file"):
        commands.settings_of({}, scenario=tmp_path / "none.yaml")


def test_the_live_line_tells_of_the_time_since_the_last_one() -> None:
    before = LinkStatistics(1.0, DirectionStatistics(delivered_bytes=1000), DirectionStatistics(), 5e6)
    up = DirectionStatistics(
        packets=9, delivered_bytes=251_000, lost=2, dropped=1, queue_bytes_mean=1500.0, queueing_s_mean=0.0123
    )
    line = commands.live_line(before, LinkStatistics(3.0, up, DirectionStatistics(), 5e6))
    assert line == (
        "   3.0 s  up 1.00 Mbit/s, 9 packets, 2 lost, 1 dropped, queue 1.5 kB, 12.3 ms  |  "
        "down 0.00 Mbit/s, 0 packets, 0 lost, 0 dropped, queue 0.0 kB, 0.0 ms"
    )


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        (["up", "--rate", "5"], "--rate: '5' is not a rate such as 500kbit"),
        (["measure", "--loss", "2"], "--loss: '2' is not a share"),
        (["change"], "nothing to change; give one of --rate, --delay"),
        (["change", "--rate", "1mbit", "--direction", "left"], "--direction: 'left' is not up"),
        (["change", "--rate", "1mbit", "--link", "hw-0-0"], "--link: there is no link hw-0-0"),
        (["down", "hw-0-0"], "NAME: there is no link hw-0-0"),
        (["exec", "near", "--link", "hw-0-0", "--"], "exec: no command; for example"),
        (["exec", "--link", "hw-0-0", "near", "--", "true"], "--link: there is no link hw-0-0"),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
    command_line: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(command_line) == 2
    said = capsys.readouterr()
    assert said.err.startswith(message)
    assert (said.err.count("\n"), said.out) == (1, "")


@pytest.mark.parametrize("command_line", [[], ["fly"], ["exec", "middle"], ["up", "--interval", "0"]])
def test_what_the_parser_refuses_is_exit_code_2_too(
    command_line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        tool.main(command_line)
    assert caught.value.code == 2
    assert "usage: python -m ops.link" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command_line in (["--help"], ["up", "--help"], ["change", "--help"], ["exec", "--help"]):
        with pytest.raises(SystemExit) as caught:
            tool.main(command_line)
        assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "python -m ops.link up --rate 5mbit --delay 50ms --loss 0.5%" in text
    assert "a share of the packets such as 0.5%" in text


def test_every_setting_has_its_flag() -> None:
    arguments = tool.parser().parse_args(["up", "--reorder-delay", "5ms", "--queue", "64KiB"])
    assert isinstance(arguments, argparse.Namespace)
    assert (arguments.word_reorder_delay, arguments.word_queue) == ("5ms", "64KiB")
