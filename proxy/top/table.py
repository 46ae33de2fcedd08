"""Tables of text that give up columns and rows to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

GAP = 2
"""Blanks between columns."""

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Of those that don't fit beside each other the one of the highest `rank` goes first."""

    title: str
    rank: int = 0
    right: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    cells: Sequence[Cell]
    tail: Cell = ""
    """Goes after the last column, as far as there is room."""


@dataclass(frozen=True, slots=True)
class Table:
    """Lines in columns."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    tail: str = ""
    """Above the rows' tails."""

    def cut(self, rows: int) -> Table:
        """The table with no more than so many rows, at least one, and the last of them says how many are missing."""
        if len(self.rows) <= rows:
            return self
        shown = max(rows - 1, 0)
        return replace(self, rows=(*self.rows[:shown], Row((), f"… {len(self.rows) - shown} more")))

    def lines(self, width: int) -> list[Text]:
        """The titles, then a line a row, each no wider than `width`."""
        numbers = self._columns_for(width)
        widths = {number: self._width(number) for number in numbers}
        titles = Row([column.title for column in self.columns], self.tail)
        found = [self._line(titles, widths, width, style="dim")]
        return found + [self._line(row, widths, width) for row in self.rows]

    def _columns_for(self, width: int) -> list[int]:
        """Those that fit, in their order."""
        numbers = list(range(len(self.columns)))
        while len(numbers) > 1 and sum(self._width(number) + GAP for number in numbers) - GAP > width:
            numbers.remove(max(numbers, key=lambda number: (self.columns[number].rank, number)))
        return numbers

    def _width(self, number: int) -> int:
        cells = (row.cells[number] for row in self.rows if number < len(row.cells))
        return max(len(self.columns[number].title), *(_text(cell).cell_len for cell in cells), 0)

    def _line(self, row: Row, widths: dict[int, int], width: int, *, style: str = "") -> Text:
        line = Text(style=style, no_wrap=True)
        if not row.cells:
            line.append("  ")
        for number, column_width in widths.items():
            if number >= len(row.cells):
                continue
            cell = _text(row.cells[number])
            blanks = " " * (column_width - cell.cell_len)
            line = line + (Text(blanks) + cell if self.columns[number].right else cell + Text(blanks))
            line.append(" " * GAP)
        line = line + _text(row.tail)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        return line


def _text(cell: Cell) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(cell)
