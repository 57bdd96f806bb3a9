"""Tables that are looked at and not edited, in one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import qt

_ROW_PX = 22


def preparePlainTable(table: Any, titles: Sequence[str], widths: Iterable[int]) -> None:
    """Titles, columns and behaviour.

    Args:
        table: A QTableWidget.
        titles: Of the columns; the last one takes the rest of the width.
        widths: Of the others, in pixels.
    """
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    table.verticalHeader().hide()
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.horizontalHeader().setStretchLastSection(True)
    for column, width in enumerate(widths):
        table.setColumnWidth(column, width)


def addItems(table: Any, row: int, columns: int, numbers: Iterable[int] = ()) -> None:
    """Empty cells for a row.

    Args:
        table: A QTableWidget.
        row: Which.
        columns: How many.
        numbers: Columns of numbers, which are set to the right.
    """
    for column in range(columns):
        item = qt.QTableWidgetItem("")
        if column in numbers:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.setItem(row, column, item)
    table.setRowHeight(row, _ROW_PX)


def setRow(table: Any, row: int, texts: Sequence[str], numbers: Iterable[int] = ()) -> None:
    """A row of texts; see `addItems`."""
    addItems(table, row, len(texts), tuple(numbers))
    for column, text in enumerate(texts):
        table.item(row, column).setText(text)


def fitHeight(table: Any) -> None:
    """Makes a table as high as its rows."""
    header = _ROW_PX + 6 if table.horizontalHeader().visible else 0
    table.setFixedHeight(_ROW_PX * table.rowCount + header + 2)
