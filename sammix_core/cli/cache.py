"""`sammix cache`: shows and deletes files that can be computed again."""

from __future__ import annotations

import typer

from sammix_core.cli import console

app = typer.Typer(help="Compiled networks and embeddings that are kept on disk.", no_args_is_help=True)

_TITLES = {"compiled": "compiled networks", "embeddings": "embeddings"}


@app.command("info")
def info() -> None:
    """Show where the cache lies and how large it is."""
    from sammix_core.engines.cache_folder import KINDS, CacheFolder, cache_root

    rows = [("folder", str(cache_root()))]
    for kind in KINDS:
        folder = CacheFolder.of(kind)
        entries = folder.entries
        used = sum(size for _, size, _ in entries) / 1e6
        limit = folder.limit_bytes / 1e6
        files = "file" if len(entries) == 1 else "files"
        rows.append((_TITLES[kind], f"{len(entries)} {files}, {used:,.1f} MB of at most {limit:,.0f} MB"))
    console.print_fields(rows)


@app.command("clear")
def clear() -> None:
    """Delete all of it; it is computed again when it is needed."""
    from sammix_core.engines.cache_folder import KINDS, CacheFolder

    freed = sum(CacheFolder.of(kind).clear() for kind in KINDS)
    console.out().print(f"Removed {freed / 1e6:,.1f} MB")
