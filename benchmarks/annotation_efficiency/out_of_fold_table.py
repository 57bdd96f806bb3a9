"""What each variant of SAM-Mix gave out of fold, beside SAM-Mix as it is; for choosing, not for a page."""

from __future__ import annotations

from statistics import mean

from .cells import WHOLE
from .rows import Row

Place = tuple[int, str]  # draw and case


def table(rows: list[Row]) -> list[str]:
    """One line a method and count: mean Dice over draws and cases, and against SAM-Mix where both were measured."""
    lines = [
        "| method | masks | draws and cases | automatic | against | oracle | against |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count in sorted({row.labelled_slices for row in rows}):
        for method in sorted({row.method for row in rows}, key=lambda name: (name != WHOLE, name)):
            auto, oracle = (_dices(rows, method, count, boxes) for boxes in ("auto", "oracle"))
            if auto:
                cells = [
                    _against(own, _dices(rows, WHOLE, count, boxes))
                    for own, boxes in ((auto, "auto"), (oracle, "oracle"))
                ]
                lines.append(f"| {method} | {count} | {len(auto)} | {' | '.join(cells)} |")
    return lines


def _dices(rows: list[Row], method: str, count: int, boxes: str) -> dict[Place, float]:
    return {
        (row.draw, row.case): row.dice
        for row in rows
        if (row.method, row.labelled_slices, row.boxes) == (method, count, boxes) and row.dice is not None
    }


def _against(own: dict[Place, float], whole: dict[Place, float]) -> str:
    """Mean Dice, then the mean difference on what both have and the worst one."""
    if not own:
        return "- | -"
    differences = [own[place] - whole[place] for place in own.keys() & whole.keys()]
    against = f"{mean(differences):+.4f} (worst {min(differences):+.4f})" if differences else "-"
    return f"{mean(own.values()):.4f} | {against}"
