"""The pages name files that exist: links and the paths of code between backticks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "sammix_core/models/**/*.md", "Testing/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
FOLDERS = ("sammix_core", "SAMMixSlicer", "Testing", "benchmarks", "docs", "Resources")
# The rooms of sammix_core may be named without it: `guidance/embedding_head.py`.
BASES = (ROOT, ROOT / "sammix_core", ROOT / "SAMMixSlicer", ROOT / "Testing" / "slicer_host" / "slicer_host")


def missing(text: str, folder: Path) -> list[str]:
    """Links and paths in a page that lead to no file.

    Args:
        text: The page.
        folder: Where it lies; links are relative to it.
    """
    links = re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", text)
    wrong = [link for link in links if "://" not in link and not (folder / link).exists()]
    for code in re.findall(r"`([\w.]+/[\w./-]*)`", text):
        is_ours = code.split("/")[0] in FOLDERS or code.endswith(".py")
        if is_ours and not any((base / code).exists() for base in (*BASES, folder)):
            wrong.append(code)
    for code in re.findall(r"`(sammix_core(?:\.\w+)+)", text):
        # The last name may be a class or a function of the module before it.
        module = ROOT / code.replace(".", "/")
        if not any(path.with_suffix(".py").exists() or path.is_dir() for path in (module, module.parent)):
            wrong.append(code)
    return wrong


def test_every_file_that_a_page_names_exists() -> None:
    assert len(PAGES) > 30
    found = {str(page.relative_to(ROOT)): missing(page.read_text(encoding="utf-8"), page.parent) for page in PAGES}
    assert {page: wrong for page, wrong in found.items() if wrong} == {}


def test_a_file_that_does_not_exist_is_found() -> None:
    page = "[a](no.md), `guidance/none.py`, `sammix_core/gone/`, `sammix_core.gone.Name`, `a/b`, [b](https://c.d/e)"
    assert missing(page, ROOT) == ["no.md", "guidance/none.py", "sammix_core/gone/", "sammix_core.gone.Name"]


def test_the_hospital_page_shows_what_its_commands_printed() -> None:
    page = (ROOT / "docs" / "hospital.md").read_text(encoding="utf-8")
    printed = (ROOT / "benchmarks" / "hospital" / "walkthrough.txt").read_text(encoding="utf-8")
    shown = re.findall(r"```console\n(.*?)\n```", page, flags=re.DOTALL)
    assert len(shown) == 5
    assert [text for text in shown if text not in printed] == []
