"""IEMOCAP's names, lines and layout; counts of the real list of utterances where it is available."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError, UsageError
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora import READERS, get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.iemocap import Iemocap
from foalnet.corpora.iemocap.names import parse_name, role_of
from foalnet.corpora.iemocap.text import decode, parse_label_line, parse_labels, parse_transcript, parse_vote
from tests.support.corpus.trees import DIALOGUES, FOUR, iemocap_tree, label_text, sound_file, write
from tests.support.marks import red_when

DIALOGUE = st.builds(
    "Ses0{}{}_{}{:02d}{}{}".format,
    st.integers(1, 5),
    st.sampled_from("FM"),
    st.sampled_from(["impro", "script"]),
    st.integers(0, 99),
    st.one_of(st.just(""), st.integers(0, 9).map("_{}".format)),
    st.one_of(st.just(""), st.sampled_from("abz")),
)
SUFFIX = st.builds("{}{:03d}".format, st.sampled_from("FM"), st.integers(0, 999))
SECONDS = st.integers(0, 10**8).map(lambda ticks: ticks / 10**4)
SPACE = st.sampled_from(["", " ", "\t", " \t "])


def read(root: Path, ledger: Ledger | None = None) -> list[Utterance]:
    """Read a tree as the stages do, without their checks."""
    reader = get_reader("iemocap")
    base = reader.check_root(root)
    roles = {p.relative_to(base).as_posix(): "" for p in base.rglob("*") if p.is_file()}
    files = {path: role for path in roles if is_role(role := reader.wanted(path))}
    return reader.utterances(base, files, ledger if ledger is not None else Ledger())


# ---- names


@given(DIALOGUE, SUFFIX)
def test_a_name_gives_speaker_and_side_by_its_own_suffix(dialogue: str, suffix: str) -> None:
    name = parse_name(f"{dialogue}_{suffix}")
    assert name is not None
    assert name.key == f"{dialogue}_{suffix}"
    assert name.dialogue == dialogue
    assert name.speaker == dialogue[:5] + suffix[0]
    assert name.side == ("left" if suffix[0] == dialogue[5] else "right")


@red_when("corpora/iemocap/names.py", "the speaker is the actor in the dialogue's name")
def test_t46_the_speaker_of_ses01f_impro01_m003_is_the_man_of_session_1() -> None:
    name = parse_name("Ses01F_impro01_M003")
    assert name is not None
    assert (name.speaker, name.side) == ("Ses01M", "right")


@pytest.mark.parametrize(
    "key",
    [
        "Ses06F_impro01_M003",
        "Ses01X_impro01_M003",
        "Ses01F_impro1_M003",
        "Ses01F_impro01_MXX0",
        "Ses01F_impro01_M003\n",
        "Ses01F_impro01_M٠٠٣",
        "../Ses01F_impro01_M003",
        "Ses01F_impro01",
        "",
    ],
)
def test_other_names_are_refused(key: str) -> None:
    assert parse_name(key) is None


@given(st.text(max_size=60))
def test_no_text_makes_the_name_grammar_or_the_roles_fail(text: str) -> None:
    name = parse_name(text)
    assert name is None or name.key == text
    assert role_of(text) in (None, "shadow")


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "labels"),
        ("Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", "shadow"),
        ("Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", None),
        ("Session1/dialog/EmoEvaluation/Attribute/Ses01F_impro01.txt", "misfiled"),
        ("Session2/dialog/EmoEvaluation/Ses01F_impro01.txt", "misfiled"),
        ("Session1/dialog/MOCAP_head/Ses01F_impro01.txt", None),
        ("Session1/sentences/MOCAP_hand/Ses01F_impro01/Ses01F_impro01_F000.txt", None),
        ("Session1/sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg", None),
        ("session1/DIALOG/emoevaluation/SES01F_IMPRO01.TXT", "labels"),
        ("Session1/dialog/EmoEvaluation/Ses01F_impro01 copy.txt", "misfiled"),
        ("Session5/dialog/transcriptions/Ses05M_script01_1b.txt", "transcript"),
        ("Session3/dialog/wav/Ses03M_impro05a.wav", "dialogue_audio"),
        ("Session3/dialog/avi/DivX/Ses03M_impro05a.avi", "video"),
        ("Session3/sentences/wav/Ses03M_impro05a/Ses03M_impro05a_F000.wav", "audio"),
        ("Session3/sentences/wav/Ses03M_impro05a/._Ses03M_impro05a_F000.wav", "shadow"),
        ("Session3/sentences/wav/Ses03M_impro05b/Ses03M_impro05a_F000.wav", "misfiled"),
        ("Session3/sentences/wav/Ses03M_impro05a/Ses03M_impro05a_FXX0.wav", None),
        ("Documentation/README.txt", None),
    ],
)
def test_roles_of_paths(path: str, role: str | None) -> None:
    assert role_of(path) == role


# ---- label lines


@given(DIALOGUE, SUFFIX, SECONDS, SECONDS, st.lists(SECONDS, min_size=3, max_size=3), SPACE, SPACE)
def test_a_label_line_comes_back_whole(
    dialogue: str, suffix: str, start_s: float, end_s: float, vad: list[float], before: str, after: str
) -> None:
    key = f"{dialogue}_{suffix}"
    line = f"{before}[{start_s:.4f} - {end_s:.4f}]\t{key}\tneu\t[{vad[0]:.4f}, {vad[1]:.4f}, {vad[2]:.4f}]{after}"
    parsed = parse_label_line(line)
    assert parsed is not None
    assert (parsed.key, parsed.raw_label) == (key, "neu")
    assert (parsed.start_s, parsed.end_s) == (start_s, end_s)
    assert [parsed.valence, parsed.activation, parsed.dominance] == vad


GOOD = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]"


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace("6.2901", "six"),
        GOOD.replace("6.2901", "1e5"),
        GOOD.replace("6.2901", "9" * 400),
        GOOD.replace("6.2901", "٦.2901"),
        GOOD.replace(" - ", " "),
        GOOD.replace("neu", "NEU"),
        GOOD.replace("neu", "neutral"),
        GOOD.replace("F000", "FXX0"),
        GOOD.replace(", 2.5000]", "]"),
        GOOD + " and more",
        "Ses01F_impro01_F000",
        "",
    ],
)
def test_a_line_off_the_grammar_is_none(line: str) -> None:
    assert parse_label_line(GOOD) is not None
    assert parse_label_line(line) is None


@given(st.text(max_size=200))
def test_no_text_makes_a_parser_fail(text: str) -> None:
    ledger = Ledger()
    lines = parse_labels(text, "x.txt", "Ses01F_impro01", ledger)
    assert all(line.key.startswith("Ses01F_impro01_") for line in lines)
    parse_transcript(text, "x.txt", ledger)
    parse_vote(text)


@given(st.binary(max_size=200))
def test_any_bytes_become_text(data: bytes) -> None:
    ledger = Ledger()
    text = decode(data, "x.txt", ledger)
    parse_labels(text, "x.txt", "Ses01F_impro01", ledger)
    assert (ledger.counts().get("repaired/encoding_repaired", 0) == 0) == _is_utf8(data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("line", "vote"),
    [
        ("C-E2:\tNeutral;\t()", ("E2", ("Neutral",))),
        ("C-E4:\tAnger; Frustration;\t()", ("E4", ("Anger", "Frustration"))),
        ("C-F1:\tNeutral state;\t(calm (very))", ("F1", ("Neutral state",))),
        ("C-M1:\tOther;\t(unclosed", ("M1", ("Other",))),
        ("C-E1:\t;\t()", ("E1", ())),
        ("C-X1:\tNeutral;\t()", None),
        ("A-E3:\tval 3; act 2; dom  2;\t()", None),
    ],
)
def test_votes(line: str, vote: tuple[str, tuple[str, ...]] | None) -> None:
    assert parse_vote(line) == vote


def test_raters_below_a_line_that_does_not_parse_are_not_given_to_the_utterance_above() -> None:
    text = f"{GOOD}\nC-E1:\tNeutral;\t()\n{GOOD.replace('neu', '???').replace('F000', 'F001')}\nC-E2:\tAnger;\t()\n"
    ledger = Ledger()
    (line,) = parse_labels(text, "a.txt", "Ses01F_impro01", ledger)
    assert line.votes == (("E1", ("Neutral",)),)
    (entry,) = ledger.entries
    assert (entry.item, entry.reason) == ("Ses01F_impro01_F001", "label_unparsed")
    assert entry.detail.startswith("a.txt, line 3")


def test_a_vote_that_belongs_to_no_utterance_is_counted() -> None:
    ledger = Ledger()
    assert parse_labels(f"C-E1:\tNeutral;\t()\n{GOOD}\nC-9:\tNeutral;\t()\n", "a.txt", "Ses01F_impro01", ledger)
    assert ledger.counts() == {"dropped/vote_unparsed": 2}


def test_transcripts_leave_out_turns_without_label_and_count_what_is_no_line() -> None:
    ledger = Ledger()
    text = (
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n"
        "Ses01F_impro01_FXX0 [009.0000-009.1000]: Hm.\nM: aside\n\nSes01F_impro01_M000 [010.0-011.0]:\n"
    )
    assert parse_transcript(text, "t.txt", ledger) == {"Ses01F_impro01_F000": "Excuse me.", "Ses01F_impro01_M000": ""}
    assert [entry.detail for entry in ledger.entries] == ["t.txt, line 3"]


# ---- trees


def test_a_tree_gives_every_fact_of_an_utterance(tmp_path: Path) -> None:
    by_key = {u.key: u for u in read(iemocap_tree(tmp_path))}
    assert len(by_key) == 25
    assert by_key["Ses01F_impro01_M000"] == Utterance(
        key="Ses01F_impro01_M000",
        corpus="iemocap",
        session="Session1",
        dialogue="Ses01F_impro01",
        speaker="Ses01M",
        side="right",
        start_s=2.5,
        end_s=3.3,
        raw_label="sad",
        label=None,
        turn=2,
        reason=None,
        valence=2.5,
        activation=2.5,
        dominance=2.5,
        votes=(("E2", ("Sadness",)), ("E3", ("Sadness", "Neutral")), ("F1", ("Sadness",))),
        transcript="Words of Ses01F_impro01_M000.",
        audio="Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav",
        dialogue_audio="Session1/dialog/wav/Ses01F_impro01.wav",
        video="Session1/dialog/avi/DivX/Ses01F_impro01.avi",
    )
    assert by_key["Ses02M_impro01_M000"].side == "left"
    assert {u.speaker for u in by_key.values()} == {f"Ses0{n}{letter}" for n in range(1, 6) for letter in "FM"}


def test_the_root_may_be_the_folder_of_session1_or_its_parent(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "downloads" / "IEMOCAP_full_release", dialogues={"Ses01F_impro01": FOUR})
    assert Iemocap().check_root(tree) == tree
    assert Iemocap().check_root(tree.parent) == tree
    assert read(tree) == read(tree.parent)


@pytest.mark.parametrize("there", [[], ["Actor_01", "Actor_02"], [f"folder{n:02d}" for n in range(20)]])
def test_another_layout_is_refused_with_the_expected_and_the_actual_content(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError) as caught:
        Iemocap().check_root(tmp_path)
    said = str(caught.value)
    assert "Session1 … Session5" in said
    assert (there[0] if there else "it has no file") in said
    assert str(tmp_path) in said


def test_two_copies_side_by_side_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("old", "new"):
        iemocap_tree(tmp_path / name, dialogues={"Ses01F_impro01": FOUR})
    with pytest.raises(DataError, match="new, old"):
        Iemocap().check_root(tmp_path)


def test_what_other_files_show_to_be_missing_is_named(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path, dialogues={"Ses01F_impro01": FOUR, "Ses02F_impro01": FOUR})
    labels = tree / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    kept = [("Ses01F_impro01_F001", "hap", 1.5, 2.3), ("Ses01F_impro01_M002", "hap", 4.5, 5.3)]
    write(labels, label_text(kept))
    sound_file(tree, "Ses01F_impro01_M000").unlink()
    sound_file(tree, "Ses01F_impro01_F000").unlink()
    transcript = tree / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    write(transcript, "".join(transcript.read_text().splitlines(keepends=True)[1:]))
    (tree / "Session2/dialog/EmoEvaluation/Ses02F_impro01.txt").unlink()
    ledger = Ledger()
    assert [u.key for u in read(tree, ledger)] == [key for key, *_ in kept]
    named = {entry.item: entry.detail for entry in ledger.entries if entry.kind == "dropped"}
    assert named == {
        "Ses01F_impro01_F000": "shown by a skipped number",
        "Ses01F_impro01_M000": "shown by a transcript line",
        "Ses01F_impro01_M001": "shown by a sound file, a transcript line",
        "Ses02F_impro01": "shown by dialogue_audio, utterances, video",
    }


# ---- registry


def test_the_registry_gives_readers_and_names_the_nearest() -> None:
    for name, kind in READERS.items():
        assert type(get_reader(name)).__name__ == kind
        assert get_reader(name).name == name
        assert set(get_reader(name).default_classes) <= set(get_reader(name).class_presets)
    with pytest.raises(UsageError, match="did you mean 'iemocap'"):
        get_reader("iemocup")


def test_the_default_tree_has_all_four_classes_in_every_session() -> None:
    assert len(DIALOGUES) == 5
    assert all({label for _, label in lines} >= {"neu", "hap", "sad", "ang"} for lines in DIALOGUES.values())
