"""Read-only tables with a common appearance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import qt

_ROW_PX = 22


def prepareReadOnlyTable(table: Any, titles: Sequence[str], widths: Iterable[int]) -> None:
    """Sets up columns, titles and selection.

    Args:
        table: A QTableWidget.
        titles: Titles of the columns; the last one takes the remaining width.
        widths: Widths of the other columns, in pixels.
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


def addEmptyRow(table: Any, row: int, columns: int, numbers: Iterable[int] = ()) -> None:
    """Fills a row with empty cells.

    Args:
        table: A QTableWidget.
        row: Index of the row.
        columns: Number of columns.
        numbers: Columns of numbers, which are aligned to the right.
    """
    for column in range(columns):
        item = qt.QTableWidgetItem("")
        if column in numbers:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.setItem(row, column, item)
    table.setRowHeight(row, _ROW_PX)


def setRow(table: Any, row: int, texts: Sequence[str], numbers: Iterable[int] = ()) -> None:
    """Fills a row with texts; see `addEmptyRow`."""
    addEmptyRow(table, row, len(texts), tuple(numbers))
    for column, text in enumerate(texts):
        table.item(row, column).setText(text)


def fitHeight(table: Any, hasTitles: bool, limit: int | None = None) -> None:
    """Sets the height of a table to that of its rows.

    Args:
        table: A QTableWidget; it need not be visible, and neither is its header then.
        hasTitles: Whether the titles of the columns are shown.
        limit: How many rows are shown at most; None for all.
    """
    rows = table.rowCount if limit is None else min(table.rowCount, limit)
    table.setFixedHeight(_ROW_PX * rows + (_ROW_PX + 6 if hasTitles else 0) + 2)
