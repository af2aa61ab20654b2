"""`inventory` and `manifest` say in a few lines what is used, what is not and why, and what the corpus lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

from foalnet.core.paths import FACTS
from tests.support.corpus.trees import DIALOGUES, iemocap_tree, ravdess_tree, write_wav
from tests.support.projects import verb

FOUR = "neutral,happy,sad,angry"


def said(project: Path, *command: str) -> list[str]:
    return verb(project, *command).stdout.splitlines()


def test_actors_and_rows_that_are_missing_are_named(project: Path) -> None:
    tree = ravdess_tree(project / "tree", actors=range(1, 24))
    shutil.rmtree(tree / "Actor_07")
    (tree / "Actor_03/03-01-05-01-01-01-03.flac").unlink()
    absent = "absent: Actor_07, Actor_24 (22 of 24 are here)"
    assert absent in said(project, "add-corpus", "ravdess", "--root", "tree", "--classes", FOUR)
    listed = said(project, "inventory", "ravdess")
    assert listed[0].startswith("inventory: 88 files (audio 87, features 1), ") and listed[1:] == [absent]
    assert said(project, "manifest", "ravdess") == [
        "manifest: 87 of 87 utterances are used: neutral 22, happy 22, sad 22, angry 21",
        "used by session: 3 (Actor_03) to 4 (Actor_01), 22 sessions",
        "5 dropped: features_unpaired (a row of the feature table without a sound file)",
        "missing of the complete corpus: 1353 of 1440 utterances, Actor_07 whole, Actor_24 whole",
        "each item: reports/ravdess/counts.json",
    ]


def test_a_session_and_a_sessions_video_that_are_missing_are_named(project: Path) -> None:
    tree = iemocap_tree(project / "tree", dialogues={k: v for k, v in DIALOGUES.items() if "Ses04" not in k})
    shutil.rmtree(tree / "Session2/dialog/avi")
    lines = ["absent: Session4 (4 of 5 are here)", "absent: files of the role video in Session2, which others have"]
    added = said(project, "add-corpus", "iemocap", "--root", "tree")
    assert [line for line in added if line.startswith("absent")] == lines
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("contract: published", "contract:"))
    assert said(project, "inventory", "iemocap")[1:] == lines
    assert said(project, "manifest", "iemocap") == [
        "manifest: 16 of 20 utterances are used: happy 4, neutral 4, sad 4, angry 4",
        "used by session: Session1 4, Session2 4, Session3 4, Session5 4",
        "class happy: no utterance carries exc",
        "4 kept: label_not_used (the raw label belongs to no class of this experiment)",
        "5 kept: video_missing (no video; the utterance is kept with every frame masked)",
        "missing of the complete corpus: 10019 of 10039 utterances, Session1 27 of 28 dialogues, "
        "Session2 29 of 30 dialogues, Session3 31 of 32 dialogues, Session4 whole, Session5 30 of 31 dialogues",
        "each item: reports/iemocap/counts.json",
    ]


def test_of_a_whole_corpus_little_is_said(project: Path) -> None:
    root = iemocap_tree(project / "data/drawn/raw")
    (root / FACTS).write_text('{"drawn": true}')
    assert len(said(project, "inventory", "drawn")) == 1
    assert said(project, "manifest", "drawn") == [
        "manifest: 20 of 25 utterances are used: happy 5, neutral 5, sad 5, angry 5",
        "used by session: Session1 4, Session2 4, Session3 4, Session4 4, Session5 4",
        "class happy: no utterance carries exc",
        "5 kept: label_not_used (the raw label belongs to no class of this experiment)",
    ]


def test_a_copy_that_a_browser_made_is_named_and_not_counted(project: Path) -> None:
    copy = "Actor_02/03-01-05-01-01-01-02 (1).flac"
    write_wav(ravdess_tree(project / "tree") / copy, 0.5)
    looks = f"not used: {copy} (looks like a file of this corpus, but its place, number or ending is another)"
    assert looks in said(project, "add-corpus", "ravdess", "--root", "tree", "--classes", FOUR)
    assert looks in said(project, "inventory", "ravdess")
    assert said(project, "manifest", "ravdess")[0].startswith("manifest: 12 of 12 utterances are used")
