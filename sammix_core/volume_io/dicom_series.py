"""Which of the series in a folder is the CT that is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame

# Rescale Types of plain CT: Hounsfield units, or nothing said. The standard's others are other quantities.
_PLAIN_RESCALE_TYPES = ("", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS")
_QUANTITIES = {
    "MGML": "a material density map in mg/mL",
    "Z_EFF": "an effective atomic number map",
    "ED": "an electron density map",
    "EDW": "an electron density map",
    "OD": "an optical density map",
    "PCT": "a map in percent",
    "HU_MOD": "a virtual image in modified Hounsfield units",
}

# Words of Image Type, between its "\" and "_", that name what is no plain CT.
_MAPS = {
    "IODINE": "an iodine map",
    "WATER": "a water map",
    "CALCIUM": "a calcium map",
    "ZEFF": "an effective atomic number map",
    "Z_EFF": "an effective atomic number map",
    "EFF_ATOMIC_NUM": "an effective atomic number map",
    "ELECTRON_DENSITY": "an electron density map",
    "RHO": "an electron density map",
    "MAT_SPECIFIC": "a map of one material",
    "MAT_FRACTIONAL": "a map of one material",
    "MAT_VALUE_BASED": "a map of one material",
    "MATERIAL_DENSITY": "a map of one material",
    "PERFUSION": "a perfusion map",
}
_VIRTUAL = {
    "VMI": "a virtual monoenergetic image",
    "MONOENERGETIC": "a virtual monoenergetic image",
    "MONOE": "a virtual monoenergetic image",
    "VNC": "a virtual non-contrast image",
    "VUE": "a virtual non-contrast image",
    "MAT_REMOVED": "a virtual image with a material removed",
    "MAT_MODIFIED": "a virtual image with a material changed",
    "VIRTUAL": "a virtual image",
}

# Its modality is that of the images that it was computed from.
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Series:
    """The images that share a Series Instance UID, or those of one phase among them.

    Attributes:
        frames: The images, at least one.
        phase: What tells them from the other phases of their series, "acquisition-2"; "" where there is one alone.
    """

    frames: tuple[Frame, ...]
    phase: str = ""

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
        """Whether all its images hold colours, as screenshots do."""
        return all(frame.samples > 1 for frame in self.frames)

    @property
    def map_name(self) -> str | None:
        """What its values are where they are no Hounsfield units by the header: "an iodine map"."""
        frame = self.frames[0]
        if frame.class_uid == _PARAMETRIC_MAP:
            return "a parametric map"
        if frame.rescale_type not in _PLAIN_RESCALE_TYPES:
            return _QUANTITIES.get(frame.rescale_type, f"a map with the Rescale Type {frame.rescale_type}")
        return _named(frame.image_type, _MAPS)

    @property
    def virtual_name(self) -> str | None:
        """What it is where it was computed from several energies: "a virtual monoenergetic image"."""
        return _named(self.frames[0].image_type, _VIRTUAL)

    @property
    def is_plain(self) -> bool:
        """Whether it may be the CT that is meant, where nothing says which."""
        computed = self.map_name is not None or self.virtual_name is not None
        return self.modality == "CT" and not (self.is_localiser or self.is_colour or computed)


def group(frames: Iterable[Frame]) -> list[Series]:
    """Groups images by their series, and those of a series by its phases, in the order in which they first occur."""
    by_uid: dict[str, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault(frame.series_uid, []).append(frame)
    return [phase for members in by_uid.values() for phase in _phases(members)]


def choose(series: list[Series], wanted: str | None, where: str, values_are_hu: bool = False) -> Series:
    """Chooses one series.

    Args:
        series: At least one.
        wanted: Its UID, the end of its UID, its number, or its phase; None where the folder should leave no choice.
        where: The folder's name, for the sentences.
        values_are_hu: Whether someone who knows says that the values of a virtual image are Hounsfield units.

    Returns:
        The series wanted, or the only axial CT.

    Raises:
        InputError: None or several fit; or the one is no plain CT, a localiser, or coloured.
    """
    if wanted is not None:
        matching = _matching(series, wanted)
        if not matching:
            raise InputError(f'{where} has no series "{wanted}"; it holds {_listed(series)}.')
        if len(matching) > 1:
            if len({part.uid for part in matching}) == 1:
                raise InputError(_several_phases(matching, where))
            raise InputError(f'"{wanted}" fits several series of {where}: {_listed(matching)}; give more of the UID.')
        _check(matching[0], where, values_are_hu, asked_for=True)
        return matching[0]
    fitting = [candidate for candidate in series if candidate.is_plain]
    if len(fitting) > 1:
        if len({part.uid for part in fitting}) == 1:
            raise InputError(_several_phases(fitting, where))
        raise InputError(f"{where} holds {len(fitting)} CT series; choose one with --series: {_listed(fitting)}.")
    if not fitting:
        if len(series) > 1:
            raise InputError(f"{where} holds no CT series that can be segmented, but {_listed(series)}.")
        _check(series[0], where, values_are_hu)
        return series[0]
    return fitting[0]


def _several_phases(phases: list[Series], where: str) -> str:
    return f"{where} holds {len(phases)} phases in one series; choose one with --series: {_listed(phases)}."


def _check(series: Series, where: str, values_are_hu: bool, asked_for: bool = False) -> None:
    if series.modality != "CT":
        raise InputError(
            f"{where} holds {series.modality or 'images of an unknown modality'}; SAMMix segments CT only."
        )
    if series.is_colour:
        raise InputError(f"{where} holds colour images (screenshots or reconstructions), not a CT in Hounsfield units.")
    if series.map_name is not None:
        raise InputError(f"{where} holds {series.map_name}, not a plain CT; choose the CT that it was computed from.")
    if series.virtual_name is not None and not values_are_hu:
        raise InputError(
            f"{where} holds {series.virtual_name}, not a plain CT; choose the CT that it was computed from, or "
            "say with --values-are-hu that its values are Hounsfield units."
        )
    # What was asked for by name is what a person means: a wrong Image Type does not outweigh that.
    if series.is_localiser and not (asked_for and any(frame.is_axial for frame in series.frames)):
        raise InputError(f"{where} holds a localiser (scout view) and no axial CT.")


def _named(image_type: tuple[str, ...], names: dict[str, str]) -> str | None:
    # The first two values are ORIGINAL or DERIVED, and PRIMARY or SECONDARY.
    for value in image_type[2:]:
        words = [value, *re.split(r"[^A-Z0-9]+", value)]
        for word, name in names.items():
            if word in words:
                return name
    return None


def _phases(frames: list[Frame]) -> list[Series]:
    """Splits a series in which places repeat by what tells its phases apart; one series where nothing does."""
    axial = [frame for frame in frames if frame.is_axial and not frame.is_localiser and frame.position is not None]
    unique = {(frame.instance_uid or frame.path, frame.index): frame for frame in axial}
    if len({_place(frame) for frame in unique.values()}) == len(unique):
        return [Series(tuple(frames))]
    kinds: tuple[tuple[str, Callable[[Frame], str]], ...] = (
        ("acquisition", lambda frame: frame.acquisition),
        ("position", lambda frame: frame.temporal_position),
    )
    for kind, value_of in kinds:
        parts: dict[str, list[Frame]] = {}
        for frame in unique.values():
            parts.setdefault(value_of(frame), []).append(frame)
        if "" not in parts and _are_phases(list(parts.values())):
            return [
                Series(tuple(part), f"{kind}-{value}")
                for value, part in sorted(parts.items(), key=lambda kept: kept[0])
            ]
    return _by_time(list(unique.values())) or [Series(tuple(frames))]


def _by_time(frames: list[Frame]) -> list[Series]:
    """Phases one after the other: a new one begins where a place comes again; none where times do not tell."""
    if any(not frame.acquired for frame in frames):
        return []
    parts: list[list[Frame]] = [[]]
    for frame in sorted(frames, key=lambda frame: frame.acquired):
        if _place(frame) in {_place(other) for other in parts[-1]}:
            if parts[-1][-1].acquired == frame.acquired:
                return []
            parts.append([])
        parts[-1].append(frame)
    return [Series(tuple(part), f"time-{part[0].acquired}") for part in parts] if _are_phases(parts) else []


def _are_phases(parts: list[list[Frame]]) -> bool:
    """Whether these are several stacks, each with one image a place; a single image more is none."""
    return len(parts) > 1 and all(
        len(part) > 1 and len({_place(frame) for frame in part}) == len(part) for part in parts
    )


def _place(frame: Frame) -> tuple[int, ...]:
    """The position in steps of `_SAME_PLACE_MM`."""
    assert frame.position is not None  # `_phases` leaves those without out
    return tuple(round(part / _SAME_PLACE_MM) for part in frame.position)


def _matching(series: list[Series], wanted: str) -> list[Series]:
    """The whole UID or a whole number goes before the end of a UID: a short number often ends some UID by chance.

    A phase is named by itself, or after a series and a slash: "4001/acquisition-2".
    """
    start, _, phase = wanted.rpartition("/")
    for fits in (
        lambda candidate: candidate.uid == wanted,
        lambda candidate: candidate.number == wanted,
        lambda candidate: candidate.phase != "" and candidate.phase == wanted,
        lambda candidate: wanted != "" and candidate.uid.endswith(wanted),
        lambda candidate: start != "" and candidate.phase == phase and candidate in _matching(series, start),
    ):
        matching = [candidate for candidate in series if fits(candidate)]
        if matching:
            return matching
    return []


def _listed(series: list[Series]) -> str:
    """What users need to choose: end of the UID, description, number, modality, images; nothing of the patient."""
    return "; ".join(_described(candidate, series) for candidate in series)


def _described(candidate: Series, all_series: list[Series]) -> str:
    n = len(candidate.frames)
    said = [f'"{candidate.frames[0].description}"'] if candidate.frames[0].description else []
    said += [f"number {candidate.number}"] if candidate.number else []
    said += [f"{candidate.modality or 'modality unknown'}", f"{n} image" if n == 1 else f"{n} images"]
    name = candidate.map_name or candidate.virtual_name
    said += [name] if name else []
    return f"{_short_name(candidate, all_series)} ({', '.join(said)})"


def _short_name(candidate: Series, all_series: list[Series]) -> str:
    """The last parts of the UID, as many as tell it from the others, or the phase."""
    if candidate.phase:
        alone = len({other.uid for other in all_series}) == 1
        whole = [replace(other, phase="") for other in all_series if other.uid != candidate.uid]
        start = "" if alone else f"{_short_name(replace(candidate, phase=''), [replace(candidate, phase=''), *whole])}/"
        return f"{start}{candidate.phase}"
    if not candidate.uid:
        return "without UID"
    parts = candidate.uid.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if _matching(all_series, end) == [candidate]:
            return end
    return candidate.uid
