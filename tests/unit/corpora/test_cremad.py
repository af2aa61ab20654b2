"""CREMA-D's names, its votes, and what is counted of its broken clips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import read_json
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora import get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.cremad import ACTORS, EMOTIONS, PUBLISHED, SENTENCES, CremaD
from foalnet.corpora.cremad.votes import COUNTED, EACH
from foalnet.corpora.splits import groups_of
from tests.support.corpus.public import cremad_tree, responses, write_mp3
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import write_clip
from tests.support.projects import verb


def read(root: Path, ledger: Ledger | None = None, labels: str | None = None) -> list[Utterance]:
    """Read a tree as the stages do, without their checks."""
    reader = get_reader("cremad", labels=labels)
    assert reader.check_root(root) == root
    paths = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    files = {path: role for path in paths if is_role(role := reader.wanted(path))}
    return reader.utterances(root, {path: str(role) for path, role in files.items()}, ledger or Ledger())


@given(
    st.sampled_from(ACTORS), st.sampled_from(sorted(SENTENCES)), st.sampled_from(sorted(EMOTIONS)),
    st.sampled_from(["LO", "MD", "HI", "XX"]), st.sampled_from(["wav", "mp3", "flv", "mp4", "WAV"]),
)  # fmt: skip
def test_every_name_of_the_corpus_is_wanted(actor: str, sentence: str, emotion: str, level: str, ending: str) -> None:
    role = "video" if ending in ("flv", "mp4") else "audio"
    assert CremaD().wanted(f"Any/{actor}_{sentence}_{emotion}_{level}.{ending}") == role


@given(st.text(max_size=30))
def test_no_other_name_is(text: str) -> None:
    assert CremaD().wanted(text) in (None, "shadow", "misfiled")


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("1001_DFA_ANG_XX.wav", "audio"),
        ("AudioMP3/1091_WSI_SAD_XX.mp3", "audio"),
        ("AudioWAV/1040_ITH_SAD_X.wav", "audio"),
        ("finishedResponses.csv", "labels"),
        ("processedResults/tabulatedVotes.csv", "labels"),
        ("AudioWAV/._1001_DFA_ANG_XX.wav", "shadow"),
        ("AudioWAV/1001_DFA_ANG_XX (1).wav", "misfiled"),
        ("AudioWAV/1092_DFA_ANG_XX.wav", "misfiled"),
        ("AudioWAV/1001_DFA_JOY_XX.wav", "misfiled"),
        ("copy/AudioWAV/1001_DFA_ANG_XX.wav", "misfiled"),
        ("../1001_DFA_ANG_XX.txt", "misfiled"),
        ("VideoDemographics.csv", None),
        ("README.md", None),
    ],
)
def test_roles_of_paths(path: str, role: str | None) -> None:
    assert CremaD().wanted(path) == role


def test_a_clip_gives_every_fact(tmp_path: Path) -> None:
    ledger = Ledger()
    rows = read(cremad_tree(tmp_path, folders=("VideoFlash", "AudioWAV", "AudioMP3")), ledger)
    assert len(rows) == 8 and ledger.counts() == {}
    assert rows[0] == Utterance(
        key="1001_DFA_ANG_XX",
        corpus="cremad",
        session="1001",
        dialogue="1001",
        speaker="1001",
        side="whole",
        start_s=0.0,
        end_s=1.2,
        raw_label="angry",
        label=None,
        votes=(("both-SSI_3", ("angry",)), ("face-SSI_2", ("neutral",)), ("voice-SSI_1", ("angry",))),
        transcript="Don't forget a jacket.",
        audio="AudioWAV/1001_DFA_ANG_XX.wav",
        video="VideoFlash/1001_DFA_ANG_XX.flv",
    )


@pytest.mark.parametrize(("folder", "sound"), [("VideoFlash", "flv"), ("AudioWAV", "wav"), ("AudioMP3", "mp3")])
def test_any_of_the_folders_is_a_corpus(tmp_path: Path, folder: str, sound: str) -> None:
    ledger = Ledger()
    first = read(cremad_tree(tmp_path, actors=(1001,), folders=(folder,)), ledger)[0]
    assert first.audio == f"{folder}/1001_DFA_ANG_XX.{sound}" and first.end_s == pytest.approx(1.2, abs=0.1)
    assert (first.video is None) == (folder != "VideoFlash")
    assert ledger.counts() == ({} if folder == "VideoFlash" else {"kept/video_missing": 4})


def test_the_raw_label_is_what_was_acted_or_what_most_raters_perceived(tmp_path: Path) -> None:
    name = "1001_IEO_FEA_HI"
    write_wav(tmp_path / f"AudioWAV/{name}.wav", 1.5)
    votes = [("a", 1, "F"), ("b", 1, "S"), ("c", 2, "F"), ("d", 2, "F"), ("e", 2, "N"), ("f", 3, "A")]
    write(tmp_path / EACH, responses(*((rater, name, shown, letter) for rater, shown, letter in votes)))
    labelled = {
        labels: read(tmp_path, labels=labels)[0].raw_label for labels in (None, "acted", "voice", "face", "both")
    }
    assert labelled == {None: "fearful", "acted": "fearful", "voice": "tie", "face": "fearful", "both": "angry"}
    assert get_reader("cremad", labels="face").published is None
    with pytest.raises(UsageError, match="cremad has no labels 'faces'; it has acted, voice, face, both"):
        get_reader("cremad", labels="faces")
    with pytest.raises(UsageError, match="reader ravdess takes no labels"):
        get_reader("ravdess", labels="face")


def test_counts_stand_for_votes_where_the_raters_are_not_here(tmp_path: Path) -> None:
    write_wav(tmp_path / "AudioWAV/1001_IEO_HAP_HI.wav", 1.5)
    head = '"","A","D","F","H","N","S","fileName","numResponses"\n'
    rows = '"100004",2,0,0,1,0,0,"1001_IEO_HAP_HI",3\n"200004",0,0,0,2,0,0,"1001_IEO_HAP_HI",2\n'
    write(tmp_path / COUNTED, head + rows)
    [u] = read(tmp_path, labels="voice")
    assert u.raw_label == "angry" and u.votes == (
        ("face-01", ("happy",)), ("face-02", ("happy",)),
        ("voice-01", ("angry",)), ("voice-02", ("angry",)), ("voice-03", ("happy",)),
    )  # fmt: skip
    write(tmp_path / EACH, responses(("z", "1001_IEO_HAP_HI", 3, "S")))
    assert read(tmp_path)[0].votes == (("both-z", ("sad",)),), "the raters themselves come before their counts"


def test_votes_that_cannot_be_used_are_counted_by_row(tmp_path: Path) -> None:
    write_wav(tmp_path / "AudioWAV/1059_IEO_HAP_MD.wav", 1.5)
    name = "1059_IEO_HAP_MD"
    write(
        tmp_path / EACH, responses(("a", name, 1, "H"), ("a", name, 1, "A"), ("b", name, 4, "H"), ("c", name, 1, "X"))
    )
    ledger = Ledger()
    assert read(tmp_path, ledger)[0].votes == (("voice-a", ("happy",)),)
    assert [e.detail for e in ledger.entries if e.reason == "vote_unparsed"] == [
        "row 3: rater voice-a votes again",
        "row 4: queryType '4', respEmo 'H'",
        "row 5: queryType '1', respEmo 'X'",
    ]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (EACH, "localid,queryType,clipName\na,1,x\n", "no column `respEmo`; the columns are localid, queryType"),
        (EACH, "", "no column `localid`; the columns are none"),
        (EACH, "localid,queryType,clipName,respEmo\na,1\n", "row 2: 2 cells, the header has 4"),
        (EACH, "localid,queryType,clipName,respEmo,localid\n", "the column `localid` stands twice"),
        (EACH, 'localid,queryType,clipName,respEmo\n"a,1,x,A\n', "it is not CSV"),
        (EACH, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull` fetches it"),
        (COUNTED, ",A,D,F,H,N,S,fileName\n1,x,0,0,0,0,0,c\n", "row 2: '1' with the counts x, 0, 0, 0, 0, 0"),
        (COUNTED, ",A,D,F,H,N,S,fileName\n100001,99999999999,0,0,0,0,0,c\n", "row 2: '100001' with the counts 99999"),
        (COUNTED, ",A,D,F,H,N,S,fileName\n400001,1,0,0,0,0,0,c\n", "row 2: '400001' with the counts 1, 0"),
        (COUNTED, ",A,D,F,H,N,S,fileName\n" + "100001,1,0,0,0,0,0,c\n" * 2, "row 3: clip c with voice stands twice"),
    ],
)
def test_a_wrong_table_of_votes_is_refused_by_row(tmp_path: Path, file: str, text: str, said: str) -> None:
    write_wav(tmp_path / "AudioWAV/1001_DFA_ANG_XX.wav", 1.2)
    write(tmp_path / file, text)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert said in str(caught.value) and Path(file).name in str(caught.value)


def test_perceived_labels_need_a_table_of_votes(tmp_path: Path) -> None:
    write_wav(tmp_path / "AudioWAV/1001_DFA_ANG_XX.wav", 1.2)
    with pytest.raises(DataError, match=r"manifest\.labels is both, and no table of votes is here"):
        read(tmp_path, labels="both")


def test_broken_clips_are_dropped_or_repaired_by_name(tmp_path: Path) -> None:
    """The four clips that the corpus' README names, a pointer in place of a file, and a known slip of a name."""
    for name, seconds in {
        "1064_IEO_DIS_MD": 12.0, "1064_TIE_SAD_XX": 0.6, "1076_MTI_NEU_XX": 0.1, "1076_MTI_SAD_XX": 0.0,
        "1040_ITH_SAD_X": 1.2,
    }.items():  # fmt: skip
        write_wav(tmp_path / f"AudioWAV/{name}.wav", seconds)
    write(tmp_path / "AudioWAV/1001_DFA_ANG_XX.wav", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    write(tmp_path / "AudioWAV/1001_DFA_DIS_XX.wav", b"no media")
    write_wav(tmp_path / "Again/1040_ITH_SAD_XX.wav", 1.2)
    ledger = Ledger()
    rows = {u.key: u.reason for u in read(tmp_path, ledger)}
    assert rows == {
        "1001_DFA_ANG_XX": "wav_unreadable", "1001_DFA_DIS_XX": "wav_unreadable", "1040_ITH_SAD_XX": None,
        "1064_IEO_DIS_MD": "length_impossible", "1064_TIE_SAD_XX": "length_impossible",
        "1076_MTI_NEU_XX": "length_impossible", "1076_MTI_SAD_XX": "length_impossible",
    }  # fmt: skip
    assert ledger.counts() == {
        "dropped/length_impossible": 4,
        "dropped/wav_unreadable": 2,
        "kept/video_missing": 1,
        "repaired/duplicate_sound": 1,
        "repaired/name_corrected": 1,
    }
    details = {e.item: e.detail for e in ledger.entries if e.kind == "dropped"}
    assert details["1064_IEO_DIS_MD"] == "AudioWAV/1064_IEO_DIS_MD.wav: 12.00 s"
    assert "a pointer of Git LFS; `git lfs pull` fetches the file" in details["1001_DFA_ANG_XX"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "music/a.wav", b"")
    with pytest.raises(DataError, match="looked here and one level below for a folder VideoFlash"):
        CremaD().check_root(tmp_path)
    write_mp3(tmp_path / "CREMA-D/AudioMP3/1001_DFA_ANG_XX.mp3", 1.2)
    assert CremaD().check_root(tmp_path) == tmp_path / "CREMA-D"


def test_no_speaker_is_in_two_folds(tmp_path: Path) -> None:
    rows = read(cremad_tree(tmp_path, actors=range(1001, 1008), folders=("AudioWAV",)))
    groups = groups_of(rows, CremaD.entry_preset["train"]["fold_by"])
    assert all(len({groups[u.key] for u in rows if u.speaker == actor}) == 1 for actor in {u.speaker for u in rows})


def test_published_counts_add_up() -> None:
    assert sum(PUBLISHED.raw_labels.values()) == PUBLISHED.utterances == 7442 and len(ACTORS) == 91


@pytest.fixture
def project(repository: Path, tmp_path: Path) -> Path:
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        shutil.copy(repository / name, tmp_path)
    return tmp_path


CLASSES = ("--classes", "angry,happy,neutral,sad")


@pytest.mark.long
def test_a_downloaded_tree_travels_to_its_shards(project: Path) -> None:
    tree = cremad_tree(project / "tree", folders=("VideoFlash",))
    write_clip(tree / "VideoFlash/1002_IEO_ANG_HI.flv", seconds=1.2, sound=False)
    assert "fold_by: speaker" in verb(project, "add-corpus", "cremad", "--root", "tree", *CLASSES).stdout
    verb(project, "inventory", "cremad")
    said = verb(project, "manifest", "cremad").stdout
    assert "9 of 9 utterances are used: angry 3, happy 2, neutral 2, sad 2" in said
    assert "missing of the complete corpus: 1003 whole" in said
    mute = verb(project, "shards", "cremad", check=False)
    assert mute.returncode == 3 and "1 of 9 utterances have no usable sound" in mute.stderr
    (tree / "VideoFlash/1002_IEO_ANG_HI.flv").unlink()
    for stage in ("inventory", "manifest", "shards"):
        verb(project, stage, "cremad")
    index = read_json(project / "data/cremad/shards/index.json")
    assert [len(shard["keys"]) for shard in index["shards"]] == [4, 4]


def test_perceived_labels_are_a_preset(project: Path) -> None:
    cremad_tree(project / "tree", folders=("AudioWAV",))
    preset = ("--preset", "cremad-perceived", "--name", "perceived")
    assert "labels: both" in verb(project, "add-corpus", "cremad", "--root", "tree", *preset, *CLASSES).stdout
    verb(project, "inventory", "perceived")
    verb(project, "manifest", "perceived")
    counted = read_json(project / "reports/perceived/counts.json")["counted"]
    assert counted["raw_labels"] == {"angry": 2, "happy": 2, "neutral": 2, "sad": 2}
