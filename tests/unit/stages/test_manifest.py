"""The manifest: classes, reasons, the contract of counts, reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.config import Params, Settings
from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.files import jsonl_bytes, read_json
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.iemocap import PUBLISHED, Iemocap
from foalnet.corpora.inventory import inventory
from foalnet.corpora.ravdess import Ravdess
from foalnet.stages.manifest.build import build, classify, compare, contract_of, count, read_manifest
from foalnet.stages.manifest.dialogues import with_turns
from tests.support.corpus.entries import FOUR_CLASSES, make_settings
from tests.support.corpus.rows import utterance
from tests.support.corpus.trees import FOUR, iemocap_tree, label_file, label_text, make_params, ravdess_tree, write
from tests.support.marks import red_when
from tests.support.sealing import vouch, write_manifest

FULL = Contract(
    dialogues={f"Session{n}": 1 for n in range(1, 6)},
    utterances=25,
    raw_labels={"ang": 5, "hap": 5, "neu": 5, "sad": 5, "xxx": 5},
    classes=dict.fromkeys(FOUR_CLASSES, 5),
    used_by_session={f"Session{n}": 4 for n in range(1, 6)},
)


class Project:
    """A tree, and the two stages over it."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self.folder, self.tree = folder, tree
        self.settings: Settings = make_settings(folder / "work", {"iemocap": tree})
        self.inventory, self.manifest = folder / "inventory.json", folder / "manifest.jsonl"
        self.counts = folder / "counts.json"

    def build(self, params: Params | None = None, **block: Any) -> list[Utterance]:
        params = params or make_params(**block)
        inventory(params, self.settings, self.inventory)
        build(params, self.settings, self.inventory, self.manifest, self.counts)
        return read_manifest(self.manifest)

    def account(self) -> dict[str, Any]:
        return read_json(self.counts)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Five sessions of one dialogue, five utterances each."""
    return Project(tmp_path, iemocap_tree(tmp_path / "IEMOCAP_full_release"))


def test_every_utterance_has_a_class_or_a_reason(project: Project) -> None:
    rows = project.build(contract=FULL)
    assert [u.key for u in rows] == sorted(u.key for u in rows)
    assert {(u.raw_label, u.label, u.reason) for u in rows} == {
        ("hap", "happy", None),
        ("neu", "neutral", None),
        ("sad", "sad", None),
        ("ang", "angry", None),
        ("xxx", None, "label_not_used"),
    }
    account = project.account()
    assert account["counted"] == account["expected"] == FULL.model_dump()
    assert (account["breaches"], account["used"], account["entries"]) == ([], 20, [])
    assert account["ledger"] == {"kept": 20, "kept/label_not_used": 5}
    assert account["ignored_files"] == {"shadow": 15, "other": 5}


def test_the_corpus_is_the_entrys_name(project: Project) -> None:
    settings = make_settings(project.folder / "work", {"mine": project.tree})
    params = make_params(corpus="mine")
    inventory(params, settings, project.inventory)
    build(params, settings, project.inventory, project.manifest, project.counts)
    assert {u.corpus for u in read_manifest(project.manifest)} == {"mine"}


def test_the_same_bytes_again_and_no_path_in_them(project: Project) -> None:
    project.build()
    first = project.manifest.read_bytes(), project.counts.read_bytes()
    project.build()
    assert (project.manifest.read_bytes(), project.counts.read_bytes()) == first
    assert str(project.folder).encode() not in b"".join(first)


def test_a_breach_names_each_count_and_the_account_is_written(project: Project) -> None:
    short = FULL.model_copy(
        update={
            "utterances": 26,
            "dialogues": FULL.dialogues | {"Session5": 2},
            "raw_labels": {"ang": 5, "hap": 4, "neu": 5, "sad": 6, "xxx": 5, "fru": 1},
        }
    )
    with pytest.raises(DataError) as caught:
        project.build(contract=short)
    said = str(caught.value)
    for line in (
        "labelled utterances: 26 expected, 25 found (1 missing)",
        "dialogues of 'Session5': 2 expected, 1 found (1 missing)",
        "raw label 'hap': 4 expected, 5 found (1 too many)",
        "raw label 'sad': 6 expected, 5 found (1 missing)",
        "raw label 'fru': 1 expected, 0 found (1 missing)",
        "corpora.iemocap.manifest.contract",
    ):
        assert line in said
    assert caught.value.exit_code == 3
    assert not project.manifest.exists()
    assert {"what": "raw label", "name": "hap", "expected": 4, "counted": 5} in project.account()["breaches"]


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
)
def test_compare_finds_exactly_the_differences(expected: dict[str, int], actual: dict[str, int]) -> None:
    breaches = compare(Contract(raw_labels=expected), Contract(raw_labels=actual, classes={"z": 1}))
    differences = {name for name in {*expected, *actual} if expected.get(name, 0) != actual.get(name, 0)}
    assert {breach.name for breach in breaches} == (differences if expected else set())
    assert compare(None, Contract(raw_labels=actual)) == []


def test_published_follows_the_class_set() -> None:
    reader = Iemocap()
    assert contract_of("published", reader, FOUR_CLASSES) == PUBLISHED
    renamed = contract_of("published", reader, {"joy": ["exc", "hap"], "rest": ["neu", "sad", "ang"]})
    assert renamed is not None
    assert renamed.classes == {"joy": 1636, "rest": 3895}
    assert renamed.used_by_session == PUBLISHED.used_by_session
    other = contract_of("published", reader, {"frustrated": ["fru"], "neutral": ["neu"]})
    assert other is not None
    assert (other.classes, other.used_by_session) == ({"frustrated": 1849, "neutral": 1708}, {})
    assert other.raw_labels == PUBLISHED.raw_labels
    assert contract_of(None, reader, FOUR_CLASSES) is None
    assert contract_of(FULL, reader, FOUR_CLASSES) is FULL

    class Silent(Iemocap):
        published = None

    with pytest.raises(UsageError, match="no published counts"):
        contract_of("published", Silent(), FOUR_CLASSES)


def test_too_many_lines_that_cannot_be_used_are_refused(project: Project) -> None:
    text = label_file(project.tree, "Ses01F_impro01").read_text()
    label_file(project.tree, "Ses01F_impro01").write_text(text.replace("\thap\t", "\t???\t"))
    with pytest.raises(DataError, match="1 of 25 label lines cannot be used"):
        project.build()
    rows = project.build(max_drop_fraction=0.04)
    assert len(rows) == 24
    assert project.account()["ledger"]["dropped/label_unparsed"] == 1
    (entry,) = project.account()["entries"]
    assert entry["item"] == "Ses01F_impro01_F001"
    assert "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, line 10" in entry["detail"]


@red_when("stages/manifest/build.py", "a negative start is taken")
@red_when("stages/manifest/build.py", "an empty segment is taken")
@pytest.mark.parametrize(("start", "end"), [(2.0, 2.0), (3.0, 2.0), (-1.0, 2.0)])
def test_t37_empty_reversed_and_negative_times_are_dropped_and_counted(
    project: Project, start: float, end: float
) -> None:
    rows = [(f"Ses01F_impro01_{s}", label, i + 0.5, i + 1.3) for i, (s, label) in enumerate((*FOUR, ("M002", "xxx")))]
    rows[0] = (*rows[0][:2], start, end)
    write(label_file(project.tree, "Ses01F_impro01"), label_text(rows))
    first = project.build(max_drop_fraction=0.1)[0]
    assert (first.key, first.label, first.reason) == ("Ses01F_impro01_F000", None, "segment_invalid")
    assert project.account()["ledger"]["dropped/segment_invalid"] == 1


def test_no_utterance_of_any_class_is_refused(project: Project) -> None:
    with pytest.raises(DataError, match=r"class 'afraid' \(fea\): no utterance"):
        project.build(classes={"afraid": ["fea"], "other": ["oth"]})


def test_a_raw_label_in_two_classes_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="raw label 'hap'"):
        project.build(classes={"a": ["hap"], "b": ["hap", "neu"]})


def test_labels_changed_since_the_inventory_are_refused(project: Project) -> None:
    project.build()
    path = label_file(project.tree, "Ses03F_impro01")
    path.write_text(path.read_text().replace("neu", "sad"))
    with pytest.raises(DataError, match="changed since the inventory"):
        build(make_params(), project.settings, project.inventory, project.manifest, project.counts)


def test_without_the_corpus_it_is_a_matter_of_the_machine(project: Project) -> None:
    project.build()
    with pytest.raises(MachineError, match="not on this machine"):
        build(make_params(), make_settings(project.folder), project.inventory, project.manifest, project.counts)


@pytest.mark.parametrize("key", ["a.b", "a b", "", "a/../b", "ä"])
def test_a_key_that_a_shard_could_not_carry_is_refused(key: str) -> None:
    with pytest.raises(DataError, match="a key may hold"):
        classify([utterance(key)], "c", {"x": ["neu"]}, Ledger())


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(DataError, match="stands twice"):
        classify([utterance(), utterance()], "c", {"x": ["neu"]}, Ledger())


def turns(rows: list[Utterance], order: str) -> dict[str, int | None]:
    rows = [replace(u, session="S") for u in rows]
    return {u.key: u.turn for u in with_turns(rows, order, where="manifest.turns", reader="r")}


def test_turns_follow_the_start_times_of_each_dialogue_and_ties_the_keys() -> None:
    rows = [utterance(f"d1_{name}", start_s=start_s) for name, start_s in (("a", 5.0), ("c", 1.0), ("b", 1.0))]
    rows += [utterance("d2_z", start_s=9.0)]
    assert turns(rows, "start") == {"d1_b": 0, "d1_c": 1, "d1_a": 2, "d2_z": 0}


def test_turns_of_the_transcript_and_after_them_those_that_it_lacks() -> None:
    rows = [utterance("dia_late", start_s=9.0, turn=4), utterance("dia_early", start_s=1.0, turn=7)]
    rows += [utterance("dia_unread", start_s=0.0)]
    assert turns(rows, "transcript") == {"dia_late": 0, "dia_early": 1, "dia_unread": 2}
    assert turns(rows, "start") == {"dia_unread": 0, "dia_early": 1, "dia_late": 2}


def test_the_transcripts_order_is_refused_where_the_reader_does_not_know_it() -> None:
    with pytest.raises(UsageError, match=r"manifest\.turns: reader r does not know the transcript's order"):
        turns([utterance()], "transcript")


@given(st.lists(st.tuples(st.sampled_from("pq"), st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_turns_of_a_dialogue_are_0_to_n_whatever_the_order_of_the_rows(drawn: list[tuple[str, int, bool]]) -> None:
    rows = [
        utterance(f"{dialogue}_{place:02d}", start_s=float(start_s), raw_label="xxx" if odd else "neu")
        for place, (dialogue, start_s, odd) in enumerate(drawn)
    ]
    numbered = turns(rows, "start")
    assert numbered == turns(rows[::-1], "start")
    for dialogue in {u.dialogue for u in rows}:
        assert sorted(numbered[u.key] for u in rows if u.dialogue == dialogue) == list(
            range(sum(u.dialogue == dialogue for u in rows))
        )


def test_iemocap_knows_both_orders(project: Project) -> None:
    by_start = {u.key: u.turn for u in project.build()}
    for path in project.tree.rglob("transcriptions/*.txt"):
        path.write_text("\n".join(path.read_text().splitlines()[::-1]))
    params = make_params()
    block = params.manifest.model_copy(update={"turns": "transcript"})
    reversed_turns = {u.key: u.turn for u in project.build(params.model_copy(update={"manifest": block}))}
    assert reversed_turns == {key: 4 - turn for key, turn in by_start.items() if turn is not None}


def test_rows_are_sorted_by_key() -> None:
    rows = [utterance(key) for key in ("b", "A", "a-1", "a_1")]
    assert [u.key for u in classify(rows, "c", {"x": ["neu"]}, Ledger())] == ["A", "a-1", "a_1", "b"]


def test_count_of_nothing() -> None:
    assert count([], ["a"]) == Contract(utterances=0, classes={"a": 0})


# ---- reading back


def put(path: Path, rows: Iterable[Any]) -> Path:
    """Write any rows as a manifest with their digest."""
    write(path, jsonl_bytes(rows))
    vouch(path)
    return path


def test_what_is_written_is_read_back(project: Project) -> None:
    rows = project.build()
    write_manifest(project.manifest, rows)
    assert read_manifest(project.manifest) == rows
    assert rows[0].votes[0] == ("E2", ("Neutral",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": None}, "either a class or a reason"),
        ({"reason": "wav_missing"}, "either a class or a reason"),
        ({"start_s": "soon"}, "start_s"),
        ({"start_s": 2.0}, "has no length"),
        ({"side": "middle"}, "side"),
        ({"key": "a.b"}, "characters other than"),
        ({"extra": 1}, "keys are not those"),
        ({"votes": [["E1", "Neutral"]]}, "votes"),
    ],
)
def test_a_line_that_is_no_utterance_is_named(tmp_path: Path, change: Mapping[str, Any], said: str) -> None:
    good = json.loads(jsonl_bytes([asdict(utterance(label="x"))]))
    path = put(tmp_path / "manifest.jsonl", [good])
    assert len(read_manifest(path)) == 1
    put(path, [good | {"key": "A"}, good | change])
    with pytest.raises(DataError, match="line 2") as caught:
        read_manifest(path)
    assert said in str(caught.value)


def test_lines_out_of_order_twice_or_no_objects_are_refused(tmp_path: Path) -> None:
    one, two = (asdict(utterance(key, label="x")) for key in ("A", "B"))
    for rows in ([two, one], [one, one], [one, []], [one, 3]):
        with pytest.raises(DataError, match="line 2"):
            read_manifest(put(tmp_path / "manifest.jsonl", rows))
    with pytest.raises(DataError, match="dvc repro"):
        read_manifest(tmp_path / "absent.jsonl")


# ---- the other corpus


def test_ravdess_goes_the_same_way(tmp_path: Path) -> None:
    reader, out = Ravdess(), tmp_path / "manifest.jsonl"
    settings = make_settings(tmp_path / "work", {"r4": ravdess_tree(tmp_path / "ravdess")})
    classes = {name: reader.class_presets[name] for name in ("neutral", "happy", "sad", "angry")}
    params = make_params(corpus="r4", reader="ravdess", classes=classes)
    inventory(params, settings, tmp_path / "inventory.json")
    build(params, settings, tmp_path / "inventory.json", out, tmp_path / "counts.json")
    rows = read_manifest(out)
    assert len(rows) == 12
    assert all(u.used and u.features for u in rows)


def test_the_real_ravdess_clips_give_two_class_sets(shared_data: Path, tmp_path: Path) -> None:
    reader, used = Ravdess(), {}
    for name, labels in (("ravdess8", list(reader.class_presets)), ("ravdess4", ["neutral", "happy", "sad", "angry"])):
        settings = make_settings(tmp_path / "work", {name: shared_data / "ravdess"})
        params = make_params(corpus=name, reader="ravdess", classes={w: reader.class_presets[w] for w in labels})
        summary = inventory(params, settings, tmp_path / f"{name}.json")
        assert summary["by_role"] == {"audio": 960, "features": 1}
        build(params, settings, tmp_path / f"{name}.json", tmp_path / f"{name}.jsonl", tmp_path / "counts.json")
        used[name] = sum(u.used for u in read_manifest(tmp_path / f"{name}.jsonl"))
    assert used == {"ravdess8": 960, "ravdess4": 448}
