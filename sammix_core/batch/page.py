"""The page of a batch: one HTML file that needs nothing else, for a person to go through in minutes."""

from __future__ import annotations

import base64
import statistics
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import PREVIEW
from sammix_core.batch.ledger import Entry, State
from sammix_core.evaluation.report import RESEARCH_ONLY
from sammix_core.version import __version__

# Some 60 kB each: with more of them a browser becomes slow. The rest is linked.
MOST_PICTURES = 400

_TEMPLATE = Path(__file__).with_name("page.html")


def render_page(rows: Sequence[tuple[Entry, Sequence[str]]], folder: BatchFolder) -> str:
    """Draws the page.

    Args:
        rows: Each study with its flags, worst first; previews of the first ones are part of the page.
        folder: The batch's folder, with the previews.

    Returns:
        HTML.
    """
    kinds = [_kind(entry, flags) for entry, flags in rows]
    pictures = 0
    articles = []
    for (entry, flags), kind in zip(rows, kinds, strict=True):
        picture = None
        if entry.state is State.DONE and pictures < MOST_PICTURES:
            picture = _data_uri(folder, entry.name)
            pictures += picture is not None
        articles.append(_article(entry, flags, kind, picture, folder))
    counted = {kind: kinds.count(kind) for kind in ("failed", "check", "fine")}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        total=len(rows),
        failed=counted["failed"],
        check=counted["check"],
        fine=counted["fine"],
        about=_about([entry for entry, _ in rows]),
        tiles=_tiles([entry for entry, _ in rows], counted),
        studies="\n".join(articles),
        research=escape(RESEARCH_ONLY),
        version=__version__,
        batch=_identity([entry for entry, _ in rows]),
    )


def _kind(entry: Entry, flags: Sequence[str]) -> str:
    if entry.state is State.FAILED:
        return "failed"
    if entry.state is not State.DONE:
        return "waiting"
    return "check" if flags else "fine"


def _about(entries: Sequence[Entry]) -> str:
    done = [entry for entry in entries if entry.state is State.DONE and entry.figures]
    models = sorted({entry.figures.model for entry in done if entry.figures})
    now = datetime.now().astimezone().isoformat(" ", timespec="minutes")[:16]
    return escape(" · ".join([now, *models, RESEARCH_ONLY]))


def _tiles(entries: Sequence[Entry], counted: dict[str, int]) -> str:
    figures = [entry.figures for entry in entries if entry.state is State.DONE and entry.figures]
    waiting = sum(entry.state in (State.WAITING, State.RUNNING) for entry in entries)
    volumes = sorted(found.volume_ml for found in figures if found.volume_ml)
    tiles = [("", "studies", f"{len(entries):,}"), ("green", "done", f"{len(figures):,}")]
    tiles += [("red", "failed", f"{counted['failed']:,}")] if counted["failed"] else []
    tiles += [("", "waiting", f"{waiting:,}")] if waiting else []
    tiles += [("amber", "to check", f"{counted['check']:,}")] if counted["check"] else []
    if volumes:
        tiles.append(("", "median volume", f"{statistics.median(volumes):,.0f} mL"))
        tiles.append(("", "smallest to largest", f"{volumes[0]:,.0f} to {volumes[-1]:,.0f} mL"))
    if figures:
        tiles.append(("", "slices to review", f"{sum(found.slices_to_review for found in figures):,}"))
    return "".join(
        f'<div class="tile {colour}"><b>{value}</b><span>{label}</span></div>' for colour, label, value in tiles
    )


def _article(entry: Entry, flags: Sequence[str], kind: str, picture: str | None, folder: BatchFolder) -> str:
    parts = [f"<h2>{escape(entry.name)}</h2>"]
    texts = []
    if entry.state is State.DONE and entry.figures is not None:
        found = entry.figures
        volume = "volume unknown" if found.volume_ml is None else f"{found.volume_ml:,.0f} mL"
        parts.append(f'<span class="volume">{volume}</span>')
        parts.append(f'<span class="dim">{found.slices_with_mask} of {found.slices} slices</span>')
        parts += [f'<span class="flag">{escape(flag)}</span>' for flag in flags]
        parts.append(f'<a href="{escape(entry.mask)}">mask</a>')
        texts += [("warning", warning) for warning in found.warnings]
        if found.worst_slice is not None:
            reasons = ", ".join(found.worst_reasons)
            texts.append(("", f"Least certain: slice {found.worst_slice}{f' ({reasons})' if reasons else ''}."))
        texts += [("", " ".join(found.notes))] if found.notes else []
    elif entry.state is State.FAILED:
        parts.append('<span class="flag">failed</span>')
        texts.append(("", entry.sentence))
    else:
        parts.append('<span class="dim">waiting</span>')
    if not entry.is_dicom:
        parts.append(f'<span class="dim">{escape(entry.source)}</span>')
    kept = " · ".join(f"{key}: {value}" for key, value in entry.identifiers.items() if value)
    texts += [("", kept)] if kept else []
    parts.append('<label><input type="checkbox"> seen</label>')
    body = "".join(f'<p class="{kind_of_text}">{escape(text)}</p>' for kind_of_text, text in texts)
    if picture is not None:
        body += f'<img loading="lazy" alt="{escape(entry.name)}" src="{picture}">'
    elif entry.state is State.DONE:
        body += f'<p><a href="{escape(folder.relative(PREVIEW, entry.name))}">picture</a></p>'
    searched = escape(" ".join([entry.name, entry.sentence, *flags, *(text for _, text in texts)]).lower())
    return (
        f'<article class="{kind}" id="{entry.key}" tabindex="0" data-kind="{kind}" data-text="{searched}">'
        f"<header>{''.join(parts)}</header>{body}</article>"
    )


def _data_uri(folder: BatchFolder, name: str) -> str | None:
    try:
        content = (folder.path / folder.relative(PREVIEW, name)).read_bytes()
    except OSError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _identity(entries: Sequence[Entry]) -> str:
    """Tells the ticks of this batch in the browser from those of others."""
    return min((entry.key for entry in entries), default="")
