from __future__ import annotations

from pathlib import Path

from PIL import Image
from rich.text import Text

from ops.pictures.terminal import THEME, draw, lines_of


def test_lines_keep_their_colours() -> None:
    [first, second] = lines_of("a \x1b[31mred\x1b[0m\nplain")
    assert (first.plain, second.plain) == ("a red", "plain")
    assert [first.plain[span.start : span.end] for span in first.spans] == ["red"]


def test_a_picture_is_as_wide_as_its_columns_and_as_high_as_its_lines(tmp_path: Path) -> None:
    sizes = []
    for columns, count in ((10, 1), (20, 1), (10, 3)):
        draw([Text("━ x")] * count, tmp_path / "a.png", columns=columns)
        with Image.open(tmp_path / "a.png") as image:
            sizes.append(image.size)
    (width, height), (wider, _), (_, higher) = sizes
    assert wider > 1.5 * width
    assert higher > 1.5 * height


def test_text_is_drawn_in_its_colour(tmp_path: Path) -> None:
    draw([Text("█", "green"), Text("█", "dim")], tmp_path / "a.png", columns=2)
    with Image.open(tmp_path / "a.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=100_000) or []}
    assert {tuple(THEME.background_color), tuple(THEME.ansi_colors[2]), (123, 123, 125)} <= colours
