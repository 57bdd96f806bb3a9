"""Stand-in of Slicer's module SampleData: keeps what was registered, and downloads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SampleDataSource:
    """A data set that a user can load by a click.

    Attributes:
        category: the section of Sample Data in which it is shown.
        arguments: all that was given with it, by the parameters' names.
    """

    category: str
    arguments: dict[str, Any]


class SampleDataLogic:
    """The logic of Sample Data, as far as modules register their data with it."""

    registered: list[SampleDataSource] = []  # noqa: RUF012 - shared on purpose, as slicer.modules.sampleDataSources is

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = {},  # noqa: B006 - as Slicer has it; it is only read
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        """Add a data set."""
        arguments = {name: value for name, value in locals().items() if value and name != "category"}
        SampleDataLogic.registered.append(SampleDataSource(category, arguments))
