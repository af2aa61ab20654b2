"""Named splits: their counts on the real lists, their parts, their digests, what is refused."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.config import Params
from foalnet.config.blocks import Named
from foalnet.core.errors import DataError, UsageError
from foalnet.core.labels import class_of
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.iemocap.names import name_of, session_of
from foalnet.corpora.meld import Meld
from foalnet.corpora.named import (
    NAMED,
    cluster_of,
    differences,
    folds_of,
    keys_tested,
    named_split,
    record_of,
    speakers_of,
)
from foalnet.corpora.ravdess import EMOTIONS
from tests.support.corpus.entries import FOUR_CLASSES, entry_params
from tests.support.corpus.rows import utterance

EVERY = pytest.mark.parametrize("name", sorted(NAMED))


def params_of(name: str, **entry: object) -> Params:
    """Return the params of a corpus that is folded by a named split."""
    classes = {label: list(raws) for label, raws in NAMED[name].classes.items()}
    plain = {"reader": NAMED[name].reader, "manifest": {"classes": classes}, "train": {"fold_by": name}}
    return entry_params("own", **plain | entry)


def iemocap(folder: Path) -> list[Utterance]:
    """Return the 10,039 utterances of IEMOCAP as its reader names them."""
    rows = csv.DictReader((folder / "iemocap_utterances.tsv").open(encoding="utf-8"), delimiter="\t")
    names = [(name_of(row["utterance"]), row) for row in rows]
    return [
        utterance(
            name.key,
            session=session_of(name.dialogue),
            speaker=name.speaker,
            raw_label=row["label"],
            start_s=float(row["start_s"]),
            end_s=float(row["end_s"]),
        )
        for name, row in names
    ]


def meld(folder: Path) -> list[Utterance]:
    """Return the 13,708 utterances of MELD's three tables, as its reader reads them."""
    files = {path.name: "labels" for path in (folder / "meld").glob("*_sent_emo.csv")}
    return Meld().utterances(folder / "meld", files, Ledger())


def ravdess(actors: Sequence[int] = range(1, 25)) -> list[Utterance]:
    """Return RAVDESS' speech by the grammar of its names: 60 clips an actor, a neutral one has no strong intensity."""
    return [
        utterance(
            f"03-01-{emotion + 1:02d}-{intensity:02d}-{said:02d}-{again:02d}-{actor:02d}",
            session=f"Actor_{actor:02d}",
            dialogue=f"Actor_{actor:02d}",
            speaker=f"Actor_{actor:02d}",
            raw_label=name,
        )
        for actor in actors
        for emotion, name in enumerate(EMOTIONS)
        for intensity in ((1,) if name == "neutral" else (1, 2))
        for said in (1, 2)
        for again in (1, 2)
    ]


def used_of(params: Params, rows: Sequence[Utterance]) -> list[Utterance]:
    """Return the rows that have a class of this corpus."""
    labels = class_of(params.manifest.classes)
    return [replace(row, label=labels[row.raw_label]) for row in rows if row.raw_label in labels]


def real(name: str, folder: Path) -> tuple[Params, list[Utterance]]:
    """Return params and used utterances of a split's whole corpus."""
    rows = {"iemocap": iemocap, "meld": meld, "ravdess": lambda _: ravdess()}[NAMED[name].reader](folder)
    params = params_of(name)
    return params, used_of(params, rows)


def parts(params: Params, rows: Sequence[Utterance]) -> dict[str, dict[str, int]]:
    """Return fold -> part -> utterances."""
    groups, folds = folds_of(params, rows, "dev")
    return {fold.name: dict(Counter(fold.part_of(groups[row.key]) for row in rows)) for fold in folds}


@EVERY
def test_every_count_of_a_split_is_that_of_the_real_list(name: str, shared_data: Path) -> None:
    params, rows = real(name, shared_data)
    assert differences(NAMED[name], params, rows) == []
    record = record_of(params, rows, "dev")
    assert record is not None and record["counts_differ"] == [] and record["digest"] == NAMED[name].digest


def test_the_six_class_split_has_the_published_numbers_of_utterances_and_dialogues(shared_data: Path) -> None:
    params, rows = real("iemocap6-erc-100-20-31", shared_data)
    assert parts(params, rows) == {"test": {"train": 4778, "dev": 980, "test": 1622}}
    every = {row.dialogue: NAMED["iemocap6-erc-100-20-31"].group_of(row) for row in iemocap(shared_data)}
    assert Counter(every.values()) == {"train": 100, "dev": 20, "test": 31}
    ends = ("Ses03M_script03_2", "Ses04F_script01_2", "Ses04F_script01_3", "Ses04M_script03_2", "Ses05F_impro01")
    assert [every[dialogue] for dialogue in ends] == ["train", "train", "dev", "dev", "test"]


def test_the_four_class_split_leaves_each_session_out(shared_data: Path) -> None:
    params, rows = real("iemocap4-loso", shared_data)
    assert len(rows) == 5531
    assert [fold["test"] for fold in parts(params, rows).values()] == [1085, 1023, 1151, 1031, 1241]


def test_a_twentieth_of_the_training_utterances_is_held_out_for_gban(shared_data: Path) -> None:
    params, rows = real("gban-4490", shared_data)
    assert len(rows) == 4490
    for name, fold in parts(params, rows).items():
        assert fold["test"] == sum(row.session == name for row in rows)
        assert 0.04 < fold["dev"] / (fold["dev"] + fold["train"]) < 0.06
    groups, _ = folds_of(params, rows, "dev")
    half = rows[::2]
    assert folds_of(params, half, "dev")[0] == {row.key: groups[row.key] for row in half}


def test_meld_shares_its_speakers_and_its_record_counts_them(shared_data: Path) -> None:
    params, rows = real("meld-official", shared_data)
    assert parts(params, rows) == {"test": {"train": 9989, "dev": 1109, "test": 2610}}
    record = record_of(params, rows, "dev")
    assert record is not None
    speakers = {part: {row.speaker for row in rows if row.session == part} for part in ("train", "test")}
    shared = speakers["train"] & speakers["test"]
    assert {"Joey", "Monica", "Ross"} < shared
    assert (record["test_speakers"], record["test_speakers_in_training"]) == (100, len(shared))


def test_lunas_folds_are_whole_actors() -> None:
    params = params_of("ravdess-luna5")
    rows = used_of(params, ravdess())
    assert [fold["test"] for fold in parts(params, rows).values()] == [300, 300, 300, 300, 240]
    groups, folds = folds_of(params, rows, "four")
    tested = {fold.name: sorted(test) for fold, test, _ in speakers_of(folds, groups, rows)}
    assert tested["fold0"] == ["Actor_02", "Actor_05", "Actor_14", "Actor_15", "Actor_16"]
    assert tested["fold4"] == ["Actor_01", "Actor_04", "Actor_09", "Actor_22"]


@EVERY
def test_parts_are_disjoint_cover_all_and_tell_who_is_tested(name: str, shared_data: Path) -> None:
    params, rows = real(name, shared_data)
    for split in ("dev", "four"):
        groups, folds = folds_of(params, rows, split)
        tested = [row.key for fold in folds for row in rows if fold.part_of(groups[row.key]) == "test"]
        assert len(tested) == len(set(tested)) and set(tested) == keys_tested(params, rows)
        for fold, test, shared in speakers_of(folds, groups, rows):
            assert {*fold.train, *fold.dev, *fold.test} == set(groups.values())
            assert bool(fold.dev) == (split == "dev")
            assert test and bool(shared) == (not NAMED[name].apart)
    assert len(set(groups.values())) == len(NAMED[name].counts)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=12), st.integers(1, 5))
def test_a_group_depends_on_the_utterance_alone(key: str, session: int) -> None:
    split = NAMED["gban-4490"]
    row = utterance(key, session=f"Session{session}")
    group = split.group_of(row)
    assert group == split.group_of(replace(row, label="sad", start_s=3.0)) and group.removesuffix("-dev") == row.session
    assert {fold.part_of(group) for fold in split.folds("dev")} == (
        {"test", "dev"} if "-" in group else {"test", "train"}
    )


@EVERY
def test_each_part_of_a_definition_changes_the_digest(name: str) -> None:
    split = NAMED[name]
    changes: dict[str, object] = {
        "classes": dict(list(split.classes.items())[:-1]),
        "groups": {**split.groups, "test": "x"},
        "counts": {**split.counts, "test": (1,)},
        "apart": not split.apart,
        "dev_share": 0.1,
        "source": "another paper",
    }
    digests = {replace(split, **{field: value}).digest for field, value in changes.items()}  # type: ignore[arg-type]
    assert len({split.digest, *digests}) == len(changes) + 1


def test_digests_do_not_change_unnoticed() -> None:
    """Results name them: a changed definition is another split, and gets another name."""
    assert {name: split.digest[:12] for name, split in NAMED.items()} == {
        "iemocap4-loso": "a4326003093c",
        "iemocap6-erc-100-20-31": "f91b02f54e93",
        "gban-4490": "536d1bb246c4",
        "meld-official": "a8b0e589ed34",
        "ravdess-luna5": "420285645dc9",
    }


def test_the_docs_list_every_split_with_its_reader_and_its_counts(repository: Path) -> None:
    lines = (repository / "docs" / "protocols.md").read_text().splitlines()
    rows = {cells[1].strip("` "): cells for line in lines if line.startswith("| `") for cells in (line.split("|"),)}
    assert set(get_args(Named)) == set(NAMED) <= set(rows)
    for name, split in NAMED.items():
        parts = [sum(numbers) for numbers in split.counts.values()]
        assert rows[name][2].strip("` ") == split.reader
        assert rows[name][3].strip() == f"{sum(parts):,}" and rows[name][4].startswith(f" {len(split.classes)}")
        if split.rule == "fixed":
            assert "{:,}, {:,} and {:,} utterances".format(*parts) in rows[name][5]


def test_a_split_of_another_reader_or_other_classes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"of the reader meld; own has the reader ravdess") as error:
        named_split(params_of("ravdess-luna5"), "meld-official")
    assert "session, speaker, ravdess-luna5" in str(error.value)
    with pytest.raises(UsageError, match=r"has the classes \{happy: \[hap\], neutral: \[neu\]"):
        named_split(params_of("gban-4490", manifest={"classes": FOUR_CLASSES}))
    renamed = {"joy": ["hap"], "calm": ["neu"], "sorrow": ["sad"], "rage": ["ang"]}
    assert named_split(params_of("gban-4490", manifest={"classes": renamed})) is NAMED["gban-4490"]


def test_counts_that_differ_are_named_by_the_corpus_own_class_names() -> None:
    params = params_of("ravdess-luna5", manifest={"classes": {f"my_{name}": [name] for name in EMOTIONS}})
    rows = used_of(params, ravdess(range(1, 17)))
    lines = differences(NAMED["ravdess-luna5"], params, rows)
    assert "fold3 my_neutral: 20 expected, 4 here" in lines and not any(line.startswith("fold0") for line in lines)


def test_an_utterance_of_no_group_is_an_error_that_names_it() -> None:
    params = params_of("ravdess-luna5")
    with pytest.raises(DataError, match=r"speaker Actor_25 is in no part of the split ravdess-luna5") as error:
        folds_of(params, used_of(params, ravdess(range(1, 26))), "dev")
    assert error.value.exit_code == 3 and "03-01-01-01-01-01-25" in str(error.value)


def test_a_speaker_who_must_not_train_and_be_tested_is_an_error() -> None:
    params = params_of("iemocap4-loso")
    rows = [
        utterance(f"Ses0{number}F_impro01_F000", session=f"Session{number}", speaker="A", label="sad")
        for number in range(1, 6)
    ]
    with pytest.raises(DataError, match="fold Session1 of the split iemocap4-loso: A trains and is tested"):
        folds_of(params, rows, "dev")


def test_intervals_are_over_speakers_only_where_folds_are_of_speakers() -> None:
    clusters = {name: cluster_of(params_of(name)) for name in NAMED}
    assert {name for name, cluster in clusters.items() if cluster == "speaker"} == {"ravdess-luna5"}
    assert [cluster_of(entry_params(train={"fold_by": how})) for how in ("session", "speaker")] == [
        "dialogue",
        "speaker",
    ]
