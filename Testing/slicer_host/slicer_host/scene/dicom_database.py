"""``slicer.app.dicomDatabase()``: which file has an instance, as far as modules ask for it."""

from __future__ import annotations


class DicomDatabase:
    """Stand-in of ctkDICOMDatabase.

    Attributes:
        files: path of each instance's file by its SOP Instance UID; tests fill it, as an import does.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def fileForInstance(self, sopInstanceUID: str) -> str:
        """The file of an instance, "" where the database has none."""
        return self.files.get(sopInstanceUID, "")
