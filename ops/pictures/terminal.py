"""What a program writes to a terminal, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

FONT = "DejaVu Sans Mono"
"""Comes with matplotlib, and has the lines and blocks that are drawn."""
FONT_PIXELS = 22
LINE_PIXELS = 28
MARGIN_PIXELS = 24

THEME = TerminalTheme(
    (24, 25, 28),
    (222, 222, 222),
    [
        *[(60, 60, 60), (224, 82, 82), (140, 190, 90), (224, 180, 70)],
        *[(90, 150, 225), (180, 120, 200), (90, 185, 195), (222, 222, 222)],
    ],
)


def draw(lines: Sequence[Text], file: Path, *, columns: int) -> None:
    """Write a picture of the lines, `columns` cells wide."""
    fonts = {bold: _font(bold=bold) for bold in (False, True)}
    cell = fonts[False].getlength("0")
    size = (round(columns * cell) + 2 * MARGIN_PIXELS, len(lines) * LINE_PIXELS + 2 * MARGIN_PIXELS)
    image = Image.new("RGB", size, tuple(THEME.background_color))
    canvas = ImageDraw.Draw(image)
    console = Console(width=columns, color_system="truecolor", force_terminal=True)
    for number, line in enumerate(lines):
        at = 0
        for segment in Segment.apply_style(line.render(console, end=""), console.get_style(line.style)):
            style = segment.style or Style()
            for character in segment.text:
                where = (MARGIN_PIXELS + at * cell, MARGIN_PIXELS + number * LINE_PIXELS)
                canvas.text(where, character, font=fonts[bool(style.bold)], fill=_colour(style))
                at += 1
    image.save(file, optimize=True)


def lines_of(ansi: str) -> list[Text]:
    """The lines of a program's output, with their colours."""
    return [Text.from_ansi(line) for line in ansi.splitlines()]


def _font(*, bold: bool) -> ImageFont.FreeTypeFont:
    found = font_manager.findfont(font_manager.FontProperties(family=FONT, weight="bold" if bold else "normal"))
    return ImageFont.truetype(found, FONT_PIXELS)


def _colour(style: Style) -> tuple[int, int, int]:
    colour = THEME.foreground_color if style.color is None else style.color.get_truecolor(THEME)
    if not style.dim:
        return colour[0], colour[1], colour[2]
    back = THEME.background_color
    return tuple((one + other) // 2 for one, other in zip(colour, back, strict=True))  # type: ignore[return-value]
