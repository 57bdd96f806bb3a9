"""Which studies are in files, folders and lists, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batch_inputs import UID, write_ct, write_dicom
from dicom_files import write_colour, write_series
from synthetic_ct import synthetic_ct

from sammix_core.batch.discovery import FindOptions, StudyFinder
from sammix_core.batch.study import content_hash, key_of_path, key_of_series, stamp_of
from sammix_core.errors import InputError


def find(*inputs: object, out: Path = Path("nowhere"), **options: object) -> StudyFinder:
    finder = StudyFinder(FindOptions(out, **options))  # type: ignore[arg-type]
    for given in inputs:
        finder.add(str(given))
    return finder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_volumes_in_a_folder_by_pattern_and_outside_the_batch(tmp_path: Path) -> None:
    touch(
        tmp_path / "b_ct.nrrd", tmp_path / "x" / "a_ct.NII.GZ", tmp_path / "x" / "a_label.nii", tmp_path / "notes.txt"
    )
    touch(tmp_path / "out" / "masks" / "b_ct.nii.gz", tmp_path / ".hidden" / "c_ct.nii")
    found = find(tmp_path, out=tmp_path / "out", pattern="*_ct.*").studies
    assert [(study.name, study.other_name) for study in found] == [
        ("b_ct", f"{tmp_path.name}-b_ct"),
        ("a_ct", "x-a_ct"),
    ]
    assert [study.source for study in found] == [str(tmp_path / "b_ct.nrrd"), str(tmp_path / "x" / "a_ct.NII.GZ")]
    assert [study.files for study in found] == [[tmp_path / "b_ct.nrrd"], [tmp_path / "x" / "a_ct.NII.GZ"]]


def test_the_same_study_counts_once_wherever_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.nii")
    monkeypatch.chdir(tmp_path)
    found = find("a.nii", tmp_path / "a.nii", tmp_path).studies
    assert [(study.key, study.source) for study in found] == [(key_of_path(tmp_path / "a.nii"), "a.nii")]


def test_voxels_beside_a_header_belong_to_the_study(tmp_path: Path) -> None:
    touch(tmp_path / "a.mhd", tmp_path / "a.zraw", tmp_path / "ab.raw")
    (study,) = find(tmp_path / "a.mhd").studies
    assert study.files == [tmp_path / "a.mhd", tmp_path / "a.zraw"]
    (tmp_path / "a.zraw").write_bytes(b"voxels")
    assert find(tmp_path / "a.mhd").studies[0].stamp != study.stamp


def test_dicom_is_found_by_series_and_named_by_a_hash(tmp_path: Path) -> None:
    name = write_dicom(tmp_path / "cd", 1)
    write_dicom(tmp_path / "cd", 2)
    write_dicom(tmp_path / "cd", 3, Modality="MR")
    write_dicom(tmp_path / "cd", 4, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_colour(tmp_path / "cd" / "screenshots")
    finder = find(tmp_path)
    assert [study.name for study in finder.studies] == [name, f"dicom-{key_of_series(UID.format(2))}"]
    assert finder.notes == [
        "DICOM series that are no plain CT were left out: 1 of modality MR, 1 localisers, 1 in colour."
    ]
    (study, _) = finder.studies
    assert (study.label, study.source, len(study.files)) == (name, str(tmp_path), 6)
    assert study.identifiers == {}
    kept = find(tmp_path, keep_identifiers=True).studies[0].identifiers
    assert (kept["PatientID"], kept["SeriesInstanceUID"]) == ("MRN-55501234", UID.format(1))
    assert kept["Folder"] == str(study.folder)


def test_a_series_in_several_folders_is_one_study_and_a_file_selects_its_series(tmp_path: Path) -> None:
    files = write_series(tmp_path / "disc" / "a", synthetic_ct((6, 36, 44)), uid=UID.format(1))
    (tmp_path / "disc" / "b").mkdir()
    for path in files[:2]:
        path.rename(tmp_path / "disc" / "b" / path.name)
    (study,) = find(tmp_path / "disc").studies
    assert len(study.files) == 6
    assert {path.parent.name for path in study.files} == {"a", "b"}
    write_series(tmp_path / "disc" / "a" / "..", synthetic_ct((4, 36, 44)), uid=UID.format(2))
    (named,) = find(files[3]).studies
    assert (named.key, len(named.files)) == (study.key, 4)


def test_a_damaged_header_fails_alone(tmp_path: Path) -> None:
    name = write_dicom(tmp_path, 1)
    broken = write_series(tmp_path / "Zzyzx", synthetic_ct((3, 36, 44)), uid=UID.format(2))[0]
    broken.write_bytes(broken.read_bytes().replace(b"0.8\\0.7", b"x.8\\0.7"))
    studies = find(tmp_path).studies
    faults = [study.fault for study in studies if study.fault]
    assert faults == ["In one folder of the input a file has a damaged DICOM header; --keep-identifiers says in which."]
    assert name in {study.name for study in studies if not study.fault}


def test_a_list_names_paths_and_a_wrong_row_fails_alone(tmp_path: Path) -> None:
    write_ct(tmp_path / "cts" / "a.nii.gz")
    write_dicom(tmp_path / "cd", 1)
    write_dicom(tmp_path / "cd", 2)
    rows = ["Path;Name;Series", "cts/a.nii.gz;patient 1;", "cts/gone.nii.gz;;", f"cd;second;{UID.format(2)}", ";;"]
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    studies = find(tmp_path / "list.csv").studies
    assert [(study.name, study.source, study.fault) for study in studies] == [
        ("patient_1", "cts/a.nii.gz", ""),
        ("gone.nii.gz", "cts/gone.nii.gz", "list.csv, line 3: cts/gone.nii.gz does not exist."),
        ("second", "cd", ""),
    ]
    assert studies[2].series_uid == UID.format(2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file\na.nii\n", 'needs a column "path" in its first line; "name" and "series" are optional'),
        ("path,age\na.nii,3\n", 'has the unknown column "age"; known are path, name, series'),
        ("path,name\na.nii,b,c\n", "line 2: there are more values than columns"),
        ("path,name\n,b\n", "line 2: there is no path"),
        ("path\n", "lists no study"),
        ("", 'needs a column "path"'),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        find(tmp_path / "list.csv")


def test_inputs_that_are_of_no_use_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "empty" / "notes.txt", tmp_path / "cts" / "a.nii")
    for given, options, sentence in [
        (tmp_path / "gone", {}, "gone does not exist."),
        (tmp_path / "gone.csv", {}, "gone.csv cannot be read: no such file or directory."),
        (tmp_path / "empty", {}, "The folder .*empty holds no CT volume and no DICOM image."),
        (tmp_path / "empty" / "notes.txt", {}, "notes.txt is no CT volume that can be read."),
        (tmp_path / "cts", {"pattern": "*_ct.nii"}, r'holds no CT volume that fits "\*_ct\.nii", and no DICOM'),
    ]:
        with pytest.raises(InputError, match=sentence):
            find(given, **options)


def test_the_content_hash_knows_no_names_and_the_stamp_no_content(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "2")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, ns=(5, 5))
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert content_hash([a, b]) == content_hash([d, c]) != content_hash([a, c])
    assert stamp_of([a]) != stamp_of([c])
    before = stamp_of([a])
    os.utime(a, ns=(6, 6))
    assert stamp_of([a]) != before
