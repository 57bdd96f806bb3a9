"""Writes docs/results.md from the result files: what was measured, and what was not.

    python benchmarks/results_table.py [--model NAME/VERSION]

Reads benchmarks/out_of_fold.jsonl (the shipped recipe on patients left out, see out_of_fold.py),
benchmarks/ablation.jsonl (its switches turned, see ablation.py), benchmarks/validation.jsonl (validate.py),
benchmarks/annotation_efficiency/results.jsonl, whose plot it draws too, benchmarks/finetune.jsonl,
benchmarks/msam/stages.jsonl, benchmarks/lesion_model/results.jsonl, benchmarks/refiner/results.jsonl and, on odd input,
benchmarks/value_scale.json, benchmarks/orientation.json and benchmarks/fuzz.
Of several rows of one model, variant, patient and kind of boxes the last one counts. Rows are compared with the default
on the patients that both have, so that a patient that is missing changes no sign.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from textwrap import fill
from typing import Any

from ablation import SWITCHES, one_by_one
from annotation_efficiency import plot
from annotation_efficiency.rows import read_rows as read_efficiency
from annotation_efficiency.table import section as efficiency_section
from finetune_table import read_rows as read_finetuning
from finetune_table import section as finetuning_section
from fuzz_table import read_results as read_fuzz
from fuzz_table import section as fuzz_section
from input_tables import lies_section, read_result, scale_section
from lesion_table import LESIONS, STAGES
from lesion_table import read_rows as read_lesions
from lesion_table import section as lesion_section
from oracle import MOVED
from out_of_fold import left_out
from refiner_table import REFINED
from refiner_table import section as refiner_section

from sammix_core.files import write_text_atomic
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
FIRST_MODEL = "liver/1.0.0"  # rows from before rows named their model
# Variants had these names before switches did.
_OLD_NAMES = {
    "decoder untrained": "decoder off",
    "no mask prompt": "mask_prompt off",
    "no z smoothing": "smooth_mm 0.0",
    "boxes smoothed 3 mm": "smooth_box_mm 3.0",
}
_ABOUT = """
Made by `benchmarks/results_table.py` from the result files in `benchmarks`; do not edit.
Whole volumes in 3-D. The guidance finds *automatic* boxes; *oracle* boxes are the label's own tight boxes, so those
figures show how good masks are once the boxes are right. For research, not a medical device.
"""
_LEFT_OUT = """
Head and decoder are trained without the patient and two others, so by nine of the twelve (`benchmarks/out_of_fold.py`).
Automatic boxes and default settings, but no refiner, which has seen all patients. Only labelled slices are scored. Most
labels began from a model's mask, which flatters these figures; the labels' own error is 0.974 to 0.992. The last column
is Dice with the label's own boxes, one a part.
"""
_SWITCHES = """
Everything is trained without the patient that it is scored on; only labelled slices are scored. A variant's name says
how it differs from the default. The switches, default first: {}. `cam` and `threshold` concern ResNet-38's maps;
`decoder off` is LiteMedSAM's own; `body_crop off` applies in use, not in training. `least_cover 0.5` came later
and is shipped: it concerns a person's boxes alone ([why](decisions/persons-boxes.md)). What LoRA gives is discussed
[here](decisions/lora.md). With so few patients a difference below about 0.005 means little.
"""
_VALIDATION = """
These cases are read once per release, lits117 more often: it is a development case. liver/2.0.0 was read once on the
others; *oracle_parts* are the label's own boxes, one a part. With liver/1.1.0 they were read four times: the second
time after slices were mended by their neighbours, which changed neither; the third with thin slices skipped,
int8 and the refiner (stage by stage below; the decoder alone makes the masks of oracle boxes); and the fourth after
`least_cover 0.5`, which concerns oracle boxes alone and moved them by a thousandth.
3D-IRCADb, LiTS and HCC-TACE-Seg (tace0697, tace1211) are public training sets, so LiteMedSAM may have seen them.
"""
Row = dict[str, Any]
Rows = dict[str, dict[str, Row]]  # variant -> patient -> row


def read_rows(file: Path) -> list[Row]:
    """Rows of a result file; none where there is no file."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def by_variant(rows: list[Row], model: str, boxes: str) -> Rows:
    """The last row of each variant and patient."""
    found: Rows = {}
    for row in rows:
        if row.get("model", FIRST_MODEL) == model and row["boxes"] == boxes:
            variant = _OLD_NAMES.get(row["variant"], row["variant"])
            found.setdefault(variant, {})[row["case"]] = row
    return found


def mean_of(rows: dict[str, Row], key: str, take: Callable[[list[float]], float] = mean) -> float | None:
    """A figure over the patients where it is known."""
    known = [row[key] for row in rows.values() if row.get(key) is not None]
    return take(known) if known else None


def against_default(rows: dict[str, Row], default: dict[str, Row]) -> str:
    """Mean difference of Dice to the default on the patients of both, and on how many it is better and worse."""
    pairs = [(rows[case]["dice"], default[case]["dice"]) for case in rows.keys() & default.keys()]
    differences = [own - other for own, other in pairs if own is not None and other is not None]
    if not differences:
        return "-"
    better, worse = sum(d > 0.0005 for d in differences), sum(d < -0.0005 for d in differences)
    return f"{mean(differences):+.3f} ({better} better, {worse} worse)"


def shown(value: float | None, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def seconds_of(rows: dict[str, Row]) -> str:
    """Mean seconds a volume: boxes and masks; what was cached did not run through the encoder."""
    known = [row for row in rows.values() if "seconds" in row]
    if not known:
        return "-"
    guidance, fitting, masks = (
        mean(row["seconds"].get(stage, 0.0) for row in known) for stage in ("guidance", "fitting", "segmentation")
    )
    cached = any(row.get("embeddings") == "cached" for row in known)
    return f"{guidance + fitting:.0f} + {masks:.0f}{' (embeddings cached)' if cached else ''}"


def variant_table(rows: Rows, patients: int) -> list[str]:
    """One line a variant, the default first."""
    lines = [
        "| variant | patients | Dice | against the default | HD95 mm, median | surface Dice 2 mm | s, boxes + masks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    default = rows.get("default", {})
    for variant in sorted(rows, key=lambda name: (name != "default", name)):
        own = rows[variant]
        difference = "" if variant == "default" else against_default(own, default)
        figures = [
            *(f"{len(own)} of {patients}", shown(mean_of(own, "dice"), 3), difference),
            *(shown(mean_of(own, "hd95_mm", median), 1), shown(mean_of(own, "surface_dice_2mm"), 3), seconds_of(own)),
        ]
        lines.append(f"| {variant} | {' | '.join(figures)} |")
    return lines


def patient_table(auto: dict[str, Row], oracle: dict[str, Row]) -> list[str]:
    """The default's figures of each patient."""
    lines = ["| patient | auto Dice | auto HD95 mm | oracle Dice | oracle HD95 mm |", "| --- | --- | --- | --- | --- |"]
    for case in sorted(auto.keys() | oracle.keys()):
        cells = []
        for row in (auto.get(case, {}), oracle.get(case, {})):
            cells += [shown(row.get("dice"), 3), shown(row.get("hd95_mm"), 1)]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return lines


def validation_table(rows: list[Row]) -> list[str]:
    """Patients that no model was trained on, the last row of each."""
    latest = {(_name_with_refiner(row), row["case"], row["boxes"]): row for row in rows}
    lines = [
        "| model | case | boxes | Dice | HD95 mm | surface Dice 2 mm | volume, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (model, case, boxes), row in sorted(latest.items()):
        volume = row.get("volume_difference_percent")
        figures = (
            *(shown(row["dice"], 3), shown(row["hd95_mm"], 1), shown(row["surface_dice_2mm"], 3)),
            "-" if volume is None else f"{volume:+.1f}",
        )
        lines.append(f"| {model} | {case} | {boxes} | {' | '.join(figures)} |")
    return lines


def _name_with_refiner(row: Row) -> str:
    refiner = row.get("refined_by")
    return row["model"] if refiner is None else f"{row['model']} with {refiner}"


def not_measured(auto: Rows, patients: set[str]) -> list[str]:
    """What the tables do not say: switches without a row, missing patients, and what no script measures yet."""
    lines = []
    absent = [name for name in one_by_one() if name not in auto]
    if absent:
        lines.append(f"Leave-one-patient-out of: {'; '.join(absent)}.")
    for variant, rows in sorted(auto.items()):
        missing = sorted(patients - rows.keys())
        if missing:
            lines.append(f'The variant "{variant}" on {", ".join(missing)}.')
    together = [name for name in auto if name.count(",") > 1]
    if not together:
        lines.append("Switches turned together, beyond the ones listed: gains need not add up.")
    lines.append(
        f"{', '.join(weights.title for weights in THIRD_PARTY_WEIGHTS.values())} on livers: their weights could not be "
        "fetched here."
    )
    lines.append("Whether the uncertainty map finds errors.")
    return [f"- {line}" for line in lines]


def page(
    ablation: list[Row],
    validation: list[Row],
    model: str,
    patients: set[str],
    more: Sequence[str] = (),
    shipped: str = "Not measured yet.",
) -> str:
    """The whole page.

    Args:
        ablation: Rows of ablation.jsonl.
        validation: Rows of validation.jsonl.
        model: Which model's recipe the first tables are about.
        patients: Names of the training patients.
        more: Further sections, before what was not measured.
        shipped: The table of the shipped recipe.
    """
    auto, oracle, moved = (by_variant(ablation, model, boxes) for boxes in ("auto", "oracle", "moved"))
    values = [f"`{switch}` ({', '.join(map(_word, values))})" for switch, values in SWITCHES.items()]
    nothing = "Not measured yet."
    parts = [
        "# Results",
        fill(_ABOUT.strip(), 120),
        "## The shipped recipe on patients left out",
        fill(_LEFT_OUT.strip(), 120),
        shipped,
        f"## What pays: leave-one-patient-out with the recipe of {model}",
        fill(_SWITCHES.strip().format("; ".join(values)), 120, break_on_hyphens=False),
        "### Automatic boxes",
        "\n".join(variant_table(auto, len(patients))) if auto else nothing,
        "### Oracle boxes",
        "\n".join(variant_table(oracle, len(patients))) if oracle else nothing,
        f"### Oracle boxes, each edge moved by up to {256 * MOVED:.0f} of 256 pixels",
        "\n".join(variant_table(moved, len(patients))) if moved else nothing,
        "### The default, patient by patient",
        "\n".join(patient_table(auto.get("default", {}), oracle.get("default", {}))),
        "## Patients that no model was trained on",
        fill(_VALIDATION.strip(), 120),
        "\n".join(validation_table(validation)) if validation else nothing,
        *more,
        "## Not measured",
        "\n".join(not_measured(auto, patients)),
    ]
    return "\n\n".join(parts) + "\n"


def _word(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def training_patients() -> set[str]:
    """Patients of the configuration whose switches were turned."""
    import yaml

    config = yaml.safe_load((HERE / "liver_model" / "config-1.1.0.yaml").read_text(encoding="utf-8"))
    return {case["name"] for case in config["cases"]}


def further_sections() -> list[str]:
    """On annotation efficiency, fine-tuning, lesions, refining, odd and damaged files."""
    lesions = [lesion_section(read_lesions(STAGES), read_lesions(LESIONS)), refiner_section(read_rows(REFINED))]
    return [
        efficiency_section(read_efficiency()),
        finetuning_section(read_finetuning()),
        *lesions,
        scale_section(read_result("value_scale")),
        lies_section(read_result("orientation")),
        fuzz_section(read_fuzz()),
    ]


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ablation, validation = read_rows(HERE / "ablation.jsonl"), read_rows(HERE / "validation.jsonl")
    latest = ablation[-1].get("model", FIRST_MODEL) if ablation else FIRST_MODEL
    parser.add_argument("--model", default=latest, help="whose rows; those of the last run by default")
    model = parser.parse_args().model
    efficiency = read_efficiency()
    if efficiency:
        plot.draw(efficiency)
    text = page(ablation, validation, model, training_patients(), further_sections(), left_out())
    write_text_atomic(PAGE, text)
    print(f"{PAGE.relative_to(HERE.parent)}: {len(ablation)}, {len(validation)} and {len(efficiency)} rows")


if __name__ == "__main__":
    main()
