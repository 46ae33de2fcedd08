from __future__ import annotations

from rich.text import Text

from proxy.top.table import Column, Row, Table

COLUMNS = (Column("name", right=False), Column("least", rank=2), Column("more", rank=1))
TABLE = Table(COLUMNS, (Row(("a", "1", Text("22", "red")), "trouble"), Row(("bcd", "333333", "4"))), tail="why")


def plain(table: Table, width: int) -> list[str]:
    return [line.plain for line in table.lines(width)]


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert plain(TABLE, 40) == [
        "name   least  more  why",
        "a          1    22  trouble",
        "bcd   333333     4",
    ]


def test_a_tail_takes_the_room_that_is_left() -> None:
    assert plain(TABLE, 24)[1] == "a          1    22  tro…"


def test_columns_go_by_their_rank_until_the_others_fit() -> None:
    assert plain(TABLE, 17) == ["name  more  why", "a       22  trou…", "bcd      4"]
    assert plain(TABLE, 9) == ["name  why", "a     tr…", "bcd"]
    # The first column stays, cropped.
    assert plain(TABLE, 2) == ["n…", "a…", "b…"]


def test_a_row_may_end_early() -> None:
    assert plain(Table(COLUMNS, (Row(("a",), "LOST"), Row(("b", "1", "2")))), 30)[1] == "a     LOST"


def test_a_table_that_is_cut_says_how_much_is_missing() -> None:
    table = Table(COLUMNS, tuple(Row((name, "1", "2")) for name in "abcde"))
    assert plain(table.cut(3), 40)[1:] == ["a         1     2", "b         1     2", "  … 3 more"]
    assert plain(table.cut(1), 40)[1:] == ["  … 5 more"]
    assert table.cut(5) is table


def test_styles_stay() -> None:
    [_, line, _] = TABLE.lines(40)
    assert [(line.plain[span.start : span.end], span.style) for span in line.spans] == [("22", "red")]


def test_nothing_in_it() -> None:
    assert plain(Table(COLUMNS, ()), 40) == ["name  least  more"]
