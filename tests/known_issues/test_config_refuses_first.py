"""What a later verb would refuse is refused by `foalnet config`, with file, fault and next action."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.corpus.trees import iemocap_tree, ravdess_tree
from tests.support.projects import verb

SINGLE = "      encoders: single\n"
WAVLM = "{encoder: wavlm_large, dropout: null}"
AUDIO = "{width: 32, dropout: 0.05}"


def edit(project: Path, *pairs: tuple[str, str], name: str = "params.yaml") -> None:
    text = (project / name).read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    (project / name).write_text(text)


def refused(project: Path, *command: str, code: int = 2) -> str:
    done = verb(project, *command, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "next:" in done.stderr and "internal error" not in done.stderr
    return done.stderr


PARTS: list[tuple[list[tuple[str, str]], str]] = [
    ([("  heads: 4 ", "  heads: 5 ")], "variant baseline: a width of 32 cannot be cut into 5 attention heads"),
    ([("  heads: 4 ", "  heads: 32 "), (AUDIO, WAVLM), ("width: 32", "width: 48")], "a width of 48 cannot be cut"),
    ([("  heads: 4 ", "  heads: 3 "), (AUDIO, WAVLM), ("width: 32", "width: 48")], "a width of 1024 cannot be cut"),
    ([("head_dropout: 0.0", "head_dropout: null")], "methods.single.head_dropout is null"),
    ([(SINGLE, SINGLE + "      picture: features\n")], "reader iemocap has no table of features"),
    (
        [(SINGLE, SINGLE + "      picture: features\n"), ("features: {}", "features: {encoder: clip_vit_b32}")],
        "train.frame_step is 8, but only every 6-th frame has features",
    ),
    (
        [
            (SINGLE, SINGLE + "      picture: features\n"),
            ("features: {}", "features: {encoder: clip_vit_b32, frame_step: 8}"),
        ],
        "variant video_only: encoder crop_cnn needs pictures",
    ),
    ([("augment: false}", "augment: false, encoder: identity}")], "encoder: identity needs feature vectors"),
    (
        [("sides_table: data/drawn.sides.txt", 'sides_table: ""'), ("{stride: 3,", "{sides: table, stride: 3,")],
        "shards.sides is table, but the corpus' entry names no sides_table",
    ),
    (
        [("sides_table: data/drawn.sides.txt", 'sides_table: ""'), ("{stride: 3, roi: 1.0", "{face: table, roi: 0.0")],
        "shards.face is table, but the corpus' entry names no sides_table",
    ),
    ([("{stride: 3,", "{face: speaker, stride: 3,")], "shards.face is speaker, which compares all faces"),
]


@pytest.mark.parametrize(("pairs", "says"), PARTS, ids=[says for _, says in PARTS])
def test_parts_that_do_not_fit(project: Path, pairs: list[tuple[str, str]], says: str) -> None:
    edit(project, *pairs)
    said = refused(project, "config", "drawn")
    assert says in said and "params.yaml (corpora.drawn)" in said


@pytest.mark.long
def test_the_papers_encoders_fit(project: Path) -> None:
    iemocap_tree(project / "tree")
    for preset in ("iemocap", "iemocap-paper"):
        verb(project, "add-corpus", "iemocap", "--root", "tree", "--preset", preset, "--name", preset.replace("-", "_"))
    verb(project, "config")


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("    - 3\n    protocols", "    - 4\n    protocols")], "`runs` is not in step"),
        ([("final: {variant: foal, seed: 1}", "final: {variant: foal, seed: 9}")], "final names no run of this corpus"),
        ([("runs:\n  drawn-audio_only-s1:", "runs: {}\nunused:\n  drawn-audio_only-s1:")], "unused"),
    ],
)
def test_runs_and_final_out_of_step(project: Path, pairs: list[tuple[str, str]], says: str) -> None:
    edit(project, *pairs)
    assert says in refused(project, "config")


def test_runs_that_are_gone_come_back(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    head, tail = text.split("runs:\n")[0], text[text.index("draw:  #") :]
    (project / "params.yaml").write_text(head + tail)
    assert "foalnet config --sync" in refused(project, "config")
    verb(project, "config", "--sync")
    verb(project, "config")


def test_a_device_that_there_is_not(project: Path) -> None:
    (project / "settings.yaml").write_text("device: gpu\n")
    assert "no device 'gpu'; write auto, cpu, cuda or cuda:N\n  file: settings.yaml" in refused(project, "config")
    (project / "settings.yaml").write_text("device: cuda:1\n")
    verb(project, "config")
    done = verb(project, "config", check=False, FOALNET_DEVICE="gpu")
    assert done.returncode == 2 and "FOALNET_DEVICE: no device 'gpu'" in done.stderr


def test_a_root_that_holds_no_corpus_of_the_reader(project: Path) -> None:
    ravdess_tree(project / "rav")
    (project / "settings.yaml").write_text("roots: {drawn: rav}\n")
    assert "not a root of this corpus" in refused(project, "config", code=3)


def test_a_root_that_is_not_there_is_a_note(project: Path) -> None:
    assert not verb(project, "config").stderr, "the first stage draws it"
    (project / "settings.yaml").write_text("roots: {drawn: away}\n")
    done = verb(project, "config")
    assert "note: the files of corpus 'drawn' are not on this machine" in done.stderr and "away" in done.stderr
    assert done.stdout.startswith("drawn:")


def test_a_root_of_no_corpus_is_a_note(project: Path) -> None:
    (project / "settings.yaml").write_text("roots: {drwn: /tmp}\n")
    assert "a root for 'drwn', no corpus of params.yaml; did you mean 'drawn'?" in verb(project, "config").stderr


@pytest.mark.parametrize("name", ["Drawn", "drawn-4", '"a/b"', '""'])
def test_an_entry_with_a_name_that_breaks_others(project: Path, name: str) -> None:
    edit(project, ("corpora:\n  drawn:", f"corpora:\n  {name}:"))
    said = refused(project, "config")
    assert "use lower-case letters, digits and _, and start with a letter" in said and "file: params.yaml" in said


@pytest.mark.parametrize(
    ("text", "says"), [("", "is empty"), ("# none\n", "no params"), ("- drawn\n", "no params"), ("3\n", "no params")]
)
def test_a_params_file_without_params(project: Path, text: str, says: str) -> None:
    (project / "params.yaml").write_text(text)
    said = refused(project, "config")
    assert says in said and "file: params.yaml" in said and "git checkout -- params.yaml" in said


@pytest.mark.parametrize(
    "text", ["", "deployments: 3\n", "deployments: [\n", "deployments: [{name: a}]\n", "a: 1\na: 2\n"]
)
def test_a_file_of_deployments_without_any(project: Path, text: str) -> None:
    iemocap_tree(project / "tree")
    (project / "prefect.yaml").write_text(text)
    assert "file: prefect.yaml" in refused(project, "add-corpus", "iemocap", "--root", "tree", "--name", "mine")
    assert not (project / "settings.yaml").exists()


NAMES: list[tuple[str, Callable[[str], bool]]] = [
    ("drawn", lambda said: "'drawn' is the corpus that `foalnet draw` draws" in said and "file: params.yaml" in said),
    ("Drawn-1", lambda said: "use lower-case letters, digits and _, and start with a letter" in said),
]


@pytest.mark.parametrize(("name", "right"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_that_no_entry_can_have(project: Path, name: str, right: Callable[[str], bool]) -> None:
    said = refused(project, "add-corpus", "iemocap", "--root", ".", "--name", name)
    assert right(said) and "--name NAME" in said
