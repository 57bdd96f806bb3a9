"""What every refused volume has in common, whatever its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from sammix_core.errors import InputError
from sammix_core.volume_io import read_volume


def refusal_of(path: Path, match: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Reads a volume that must be refused by one sentence, with no word of a library on either stream.

    Args:
        path: The file or folder.
        match: What the sentence says, a regular expression.
        capfd: Pytest's capture of the process's streams.

    Returns:
        The sentence.
    """
    capfd.readouterr()
    with pytest.raises(InputError, match=match) as caught:
        read_volume(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert capfd.readouterr() == ("", "")
    return sentence
