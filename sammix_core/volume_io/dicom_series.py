"""Which of the series in a folder is the CT that is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame


@dataclass(frozen=True)
class Series:
    """The images that share a Series Instance UID.

    Attributes:
        frames: The images, at least one.
    """

    frames: tuple[Frame, ...]

    @property
    def uid(self) -> str:
        """Series Instance UID; "" where it was removed."""
        return self.frames[0].series_uid

    @property
    def number(self) -> str:
        """Series Number, "" where absent."""
        return self.frames[0].series_number

    @property
    def modality(self) -> str:
        """The modality of its first image."""
        return self.frames[0].modality

    @property
    def is_localiser(self) -> bool:
        """Whether all its images are overviews."""
        return all(frame.is_localiser for frame in self.frames)

    @property
    def is_colour(self) -> bool:
        """Whether it holds colours, as screenshots do."""
        return self.frames[0].samples > 1


def group(frames: Iterable[Frame]) -> list[Series]:
    """Groups images by their series, in the order in which the series first occur."""
    by_uid: dict[str, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    return [Series(tuple(members)) for members in by_uid.values()]


def choose(series: list[Series], wanted: str | None, where: str) -> Series:
    """Chooses one series.

    Args:
        series: At least one.
        wanted: Its UID, the end of its UID, or its number; None where the folder should leave no choice.
        where: The folder's name, for the sentences.

    Returns:
        The series wanted, or the only axial CT.

    Raises:
        InputError: None or several fit; or the one is no CT, a localiser, or coloured.
    """
    if wanted is not None:
        found = _matching(series, wanted)
        if not found:
            raise InputError(f'{where} has no series "{wanted}"; it holds {_listed(series)}.')
        if len(found) > 1:
            raise InputError(f'"{wanted}" fits several series of {where}: {_listed(found)}; give more of the UID.')
        _check(found[0], where)
        return found[0]
    fitting = [one for one in series if one.modality == "CT" and not one.is_localiser and not one.is_colour]
    if len(fitting) > 1:
        raise InputError(f"{where} holds {len(fitting)} CT series; choose one with --series: {_listed(fitting)}.")
    if not fitting:
        if len(series) > 1:
            raise InputError(f"{where} holds no CT series that can be segmented, but {_listed(series)}.")
        _check(series[0], where)
    return fitting[0]


def _check(series: Series, where: str) -> None:
    if series.modality != "CT":
        raise InputError(
            f"{where} holds {series.modality or 'images of an unknown modality'}; SAMMix segments CT only."
        )
    if series.is_colour:
        raise InputError(f"{where} holds colour images (screenshots or reconstructions), not a CT in Hounsfield units.")
    if series.is_localiser:
        raise InputError(f"{where} holds a localiser (scout view) and no axial CT.")


def _matching(series: list[Series], wanted: str) -> list[Series]:
    """The whole UID or a whole number goes before the end of a UID: a short number often ends some UID by chance."""
    for fits in (
        lambda one: one.uid == wanted,
        lambda one: one.number == wanted,
        lambda one: wanted != "" and one.uid.endswith(wanted),
    ):
        found = [one for one in series if fits(one)]
        if found:
            return found
    return []


def _listed(series: list[Series]) -> str:
    """What users need to choose: end of the UID, description, number, modality, images; nothing of the patient."""
    return "; ".join(_described(one, series) for one in series)


def _described(one: Series, all_series: list[Series]) -> str:
    n = len(one.frames)
    said = [f'"{one.frames[0].description}"'] if one.frames[0].description else []
    said += [f"number {one.number}"] if one.number else []
    said += [f"{one.modality or 'modality unknown'}", f"{n} image" if n == 1 else f"{n} images"]
    return f"{_short_uid(one, all_series)} ({', '.join(said)})"


def _short_uid(one: Series, all_series: list[Series]) -> str:
    """The last parts of the UID, as many as tell it from the others."""
    if not one.uid:
        return "without UID"
    parts = one.uid.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if _matching(all_series, end) == [one]:
            return end
    return one.uid
