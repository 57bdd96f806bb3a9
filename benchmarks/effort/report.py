"""What the rows of effort.jsonl say, as Markdown, and the plot of Dice over actions.

    python benchmarks/effort/report.py [--results FILE] [--actions 10] [--plot docs/images/effort.png]

A case whose list ends before the last action keeps its last Dice. The goals are those for the validation volumes with
all tools.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from measure import OUT_OF_FOLD, RESULTS, VALIDATED, read_rows
from person import ALL_TOOLS, MODES, NO_HELP

from sammix_core.files import atomic_path

PLOT = Path(__file__).parents[2] / "docs" / "images" / "effort.png"
GOAL_MEAN, GOAL_LEAST, GOAL_GONE = 0.975, 0.965, 0.4
SHOWN = (0, 1, 3, 5, 10, 20)
_MADE_BY = ("model", "refiner", "corrections")
_TITLES = {VALIDATED: "validation volumes", OUT_OF_FOLD: "training volumes, out of fold"}

Row = dict[str, Any]


def main() -> None:
    """Prints the tables and draws the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--actions", type=int, default=10, help="actions that are counted")
    parser.add_argument("--plot", type=Path, help="the file to draw, such as docs/images/effort.png")
    arguments = parser.parse_args()
    rows = last_rows(read_rows(arguments.results))
    if not rows:
        parser.error(f"{arguments.results} has no row; benchmarks/effort/measure.py makes them")
    print(table(rows, arguments.actions))
    if arguments.plot is not None:
        draw(rows, arguments.actions, arguments.plot)


def last_rows(rows: list[Row]) -> list[Row]:
    """The last row of each case and mode; only those made like the newest one of the group."""
    newest = {row["group"]: [row[key] for key in _MADE_BY] for row in rows}
    kept = {}
    for row in rows:
        if newest[row["group"]] == [row[key] for key in _MADE_BY]:
            kept[row["group"], row["case"], row["mode"]] = row
    return list(kept.values())


def steps(row: Row, key: str, most: int) -> list[float]:
    """A figure (`dice`, `wrong_px`) before any action and after each, as long as there are actions."""
    every = [row["start"][key], *(action[key] for action in row["actions"][:most])]
    return [*every, *every[-1:] * (most + 1 - len(every))]


def gone(row: Row, most: int) -> float:
    """Share of the automatic mask's wrong voxels that are gone."""
    wrong = steps(row, "wrong_px", most)
    return 1 - wrong[-1] / wrong[0] if wrong[0] else 1.0


def table(rows: list[Row], most: int) -> str:
    """Modes, cases with all tools, and whether the goals are reached, by group."""
    sections = []
    for group, title in _TITLES.items():
        of_group = [row for row in rows if row["group"] == group]
        if of_group:
            about = f"{of_group[-1]['model']}, refiner: {of_group[-1]['refiner']}"
            parts = (_of_modes(of_group, most), _of_cases(of_group, most), _goals(of_group, most))
            sections.append("\n\n".join([f"**{title[0].upper()}{title[1:]}** ({about})", *filter(None, parts)]))
    return "\n\n".join(sections)


def _of_modes(rows: list[Row], most: int) -> str:
    shown = [count for count in SHOWN if count <= most]
    lines = [
        f"| mode | volumes | {' | '.join(f'Dice after {count}' for count in shown)} | least | wrong voxels gone "
        "| below the start | actions | undone | seconds of an action: median | most | processor's median |",
        "|" + " --- |" * (len(shown) + 10),
    ]
    for mode in MODES:
        of_mode = [row for row in rows if row["mode"] == mode]
        if not of_mode:
            continue
        dice = np.array([steps(row, "dice", most) for row in of_mode])
        actions = [action for row in of_mode for action in row["actions"][:most]]
        below = sum(min(one) < one[0] for one in dice.tolist())
        means = " | ".join(f"{dice[:, count].mean():.4f}" for count in shown)
        lines.append(
            f"| {mode} | {len(of_mode)} | {means} | {dice[:, -1].min():.4f} "
            f"| {np.mean([gone(row, most) for row in of_mode]):.0%} | {below} | {len(actions)} "
            f"| {sum(action['undone'] for action in actions)} | {_seconds(actions)} |"
        )
    return "\n".join(lines)


def _seconds(actions: list[Row]) -> str:
    if not actions:
        return " | | "
    wall, processor = ([action[key] for action in actions] for key in ("seconds", "cpu_seconds"))
    return f"{np.median(wall):.1f} | {max(wall):.1f} | {np.median(processor):.1f}"


def _of_cases(rows: list[Row], most: int) -> str:
    lines = [
        f"| case, {ALL_TOOLS.name} | Dice, automatic | least on the way | at the end | wrong voxels gone "
        "| boxes, clicks, carries (undone) | slices looked at | of these right |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    of_mode = [row for row in rows if row["mode"] == ALL_TOOLS.name]
    for row in of_mode:
        dice, actions = steps(row, "dice", most), row["actions"][:most]
        looks = actions[-1] if len(row["actions"]) > most else row  # or up to the end of the list
        kinds = []
        for kind in ("box", "click", "carry"):
            of_kind = [action["undone"] for action in actions if action["kind"] == kind]
            kinds.append(f"{len(of_kind)} ({sum(of_kind)})")
        lines.append(
            f"| {row['case']} | {dice[0]:.4f} | {min(dice):.4f} | {dice[-1]:.4f} | {gone(row, most):.0%} "
            f"| {', '.join(kinds)} | {looks['looked']} | {looks['right']} |"
        )
    return "\n".join(lines) if of_mode else ""


def _goals(rows: list[Row], most: int) -> str:
    of_mode = [row for row in rows if row["mode"] == ALL_TOOLS.name]
    if not of_mode:
        return ""
    dice = [steps(row, "dice", most) for row in of_mode]
    mean, least = float(np.mean([one[-1] for one in dice])), min(one[-1] for one in dice)
    least_gone = min(gone(row, most) for row in of_mode)
    below = [row["case"] for row, one in zip(of_mode, dice, strict=True) if min(one) < one[0]]
    goals = [
        (f"mean {mean:.4f}, goal {GOAL_MEAN}", mean >= GOAL_MEAN),
        (f"least {least:.4f}, goal {GOAL_LEAST}", least >= GOAL_LEAST),
        (f"least share of wrong voxels gone {least_gone:.0%}, goal {GOAL_GONE:.0%}", least_gone >= GOAL_GONE),
        (f"below the start on the way: {', '.join(below) or 'none'}", not below),
    ]
    judged = "; ".join(f"{text} ({'reached' if reached else 'not reached'})" for text, reached in goals)
    return f"After {most} actions with {ALL_TOOLS.name}: {judged}."


def draw(rows: list[Row], most: int, file: Path) -> None:
    """Draws mean Dice over actions, a panel a group, over the cases that all modes have."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = [group for group in _TITLES if any(row["group"] == group for row in rows)]
    figure, panels = pyplot.subplots(1, len(groups), figsize=(6 * len(groups), 4.2), dpi=110, squeeze=False)
    for group, axes in zip(groups, panels[0], strict=True):
        of_group = [row for row in rows if row["group"] == group]
        of_modes = {mode: {row["case"]: row for row in of_group if row["mode"] == mode} for mode in MODES}
        of_modes = {mode: of_mode for mode, of_mode in of_modes.items() if of_mode}
        common = set.intersection(*(set(of_mode) for of_mode in of_modes.values()))
        for mode, of_mode in of_modes.items():
            dice = np.mean([steps(of_mode[case], "dice", most) for case in sorted(common)], axis=0)
            line = {"color": "grey", "linestyle": "--"} if mode == NO_HELP.name else {"marker": "o", "markersize": 3}
            axes.plot(range(most + 1), dice, label=mode, **line)
        axes.set_title(f"{len(common)} {_TITLES[group]}", fontsize=10)
        axes.set_xlabel("actions")
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("mean Dice, whole volumes")
    panels[0, 0].legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as path:
        figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
