"""The plot of docs/results.md: Dice over labelled slices.

python -m benchmarks.annotation_efficiency.plot
"""

from __future__ import annotations

from pathlib import Path

from sammix_core.files import atomic_path

from .cells import ONE_PATIENT
from .methods import COUNTS, METHODS
from .rows import Row, read_rows
from .table import PLOT, by_count, mean_dice

FILE = Path(__file__).resolve().parents[2] / "docs" / PLOT
_SHOWN = ("sammix_embedding", "sammix_resnet38", "sam_pp", "unet", "segresnet", "sammix_embedding_lora")


def curves(rows: list[Row]) -> dict[str, list[tuple[int, float]]]:
    """(labelled slices, mean Dice) of each method, automatic boxes, over the cases that all methods have there."""
    rows = [row for row in rows if row.protocol == ONE_PATIENT]
    found = {name: {c: by_count(rows, name, c, "auto") for c in COUNTS} for name in _SHOWN}
    found = {name: counts for name, counts in found.items() if any(counts.values())}
    points: dict[str, list[tuple[int, float]]] = {}
    for count in COUNTS:
        there = [set(counts[count]) for counts in found.values() if counts[count]]
        common = set.intersection(*there) if there else set()
        for name, counts in found.items():
            value = mean_dice({case: own for case, own in counts[count].items() if case in common})
            if value is not None:
                points.setdefault(name, []).append((count, value))
    return points


def draw(rows: list[Row], file: Path = FILE) -> None:
    """Writes the plot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=110)
    for name, points in curves(rows).items():
        counts, values = zip(*points, strict=True)
        axes.plot(counts, values, marker="o", label=METHODS[name].title)
    axes.set_xscale("log")
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.minorticks_off()
    axes.set_ylim(0, 1)  # differences of a hundredth look like what they are
    axes.set_xlabel("labelled slices of one patient")
    axes.set_ylabel("mean Dice, whole volumes, automatic boxes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as path:
        figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(read_rows())
    print(f"docs/{PLOT}")
