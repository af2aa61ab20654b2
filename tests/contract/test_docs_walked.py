"""The pages that say how to add something, walked: their example is written where they say and passes the gate."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.corpus.trees import write, write_wav
from tests.support.projects import REPOSITORY, copy_project, program, repro, run

BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.M | re.S)

FACE = """
import numpy as np
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.drawn import face
from foalnet.faces import get_detector

look = face.draw_look("F", np.random.default_rng(2))
head = face.head(look, "neutral", 1, strength=1.0, blink=False, turn=0.0, marked=False)
empty = np.full((head.shape[0] + 80, head.shape[1] + 80, 3), 127, np.uint8)
seat, alpha = empty.copy(), head[..., 3:] / 255
inside = seat[40:-40, 40:-40]
inside[:] = (alpha * head[..., :3] + (1 - alpha) * inside).astype(np.uint8)

detector = get_detector(Shards(detector="haar_tree", min_face_px=24), Settings())
none, found = detector.detect([empty, seat])
assert none == [] and len(found) == 1, (none, found)
assert abs((found[0].left + found[0].right) / 2 - empty.shape[1] / 2) < 0.1 * empty.shape[1], found
assert len(detector.digest()) == 64
print("one face")
"""


def walk(project: Path, page: str) -> list[Path]:
    """Do what a page's example says: write its files, add its lines after the lines shown; return what was written."""
    written: list[Path] = []
    for kind, body in BLOCK.findall((REPOSITORY / "docs" / page).read_text()):
        first, _, rest = body.partition("\n")
        if kind == "python" and first.startswith(("# foalnet/", "# tests/")):
            path = project / first[2:]
            assert not path.exists(), f"{path} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(rest)
            written.append(path)
        elif kind == "diff":
            path = project / first.removeprefix("--- ")
            path.write_text(changed(path.read_text(), rest.splitlines()))
    return written


def changed(text: str, diff: list[str]) -> str:
    """Put every `+` line behind the line shown before it, or before the one shown after it; comments do not count."""
    lines, at = text.splitlines(), 0
    bare = [line.partition("  # ")[0] for line in lines]
    for place, line in enumerate(diff):
        if line.startswith("+"):
            if place == 0:
                at = bare.index(diff[1][1:])
            lines.insert(at, line[1:])
            bare.insert(at, line[1:])
            at += 1
        else:
            at = bare.index(line[1:], at) + 1
    return "\n".join(lines) + "\n"


def test_the_change_helper_puts_lines_where_the_diff_shows_them() -> None:
    assert changed("a\nb\nc\n", [" a", "+x", " c", "+y"]) == "a\nx\nb\nc\ny\n"
    assert changed("a\nb  # c\n", ["+x", " b", "+y"]) == "a\nx\nb  # c\ny\n"
    with pytest.raises(ValueError, match="not in list"):
        changed("a\n", [" z", "+x"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def gate(project: Path, name: str, *files: Path) -> None:
    """Run the gate, the linter and the type checker on what a page wrote."""
    gate = [sys.executable, "-m", "pytest", "tests/unit/methods/test_registry.py", "-k", name]
    assert re.search(r"[1-9][0-9]* passed", run(project, *gate).stdout)
    run(project, sys.executable, "-m", "ruff", "check", *map(str, files))
    run(project, sys.executable, "-m", "mypy", *map(str, files))


@pytest.mark.long
def test_an_encoder_passes_the_gate(project: Path) -> None:
    files = walk(project, "add-an-encoder.md")
    assert len(files) == 1
    gate(project, "loudness and (avel or audio_only)", *files)


@pytest.mark.long
def test_a_method_with_its_own_params_loss_and_second_head_is_one_file(tiny_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(tiny_project, project, symlinks=True)
    network, own_test = walk(project, "add-a-method.md")
    gate(project, "product", network)
    run(project, sys.executable, "-m", "pytest", str(own_test))
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("    variants:\n", "    variants:\n    - product\n", 1))
    program(project, "config", "--sync")
    ran = re.findall(r"Running stage '([^']+)'", repro(project).stdout)
    assert {"train@drawn-product-s1", "evaluate@drawn-product-s1", "report@drawn"} <= set(ran)
    assert [stage for stage in ran if "product" not in stage] == ["inventory@drawn", "report@drawn"], (
        "no other is stale"
    )
    history = (project / "models/drawn/product-s1/history.csv").read_text().splitlines()
    assert history[0].split(",")[4:-1] == ["loss", "cross_entropy", "audio"]
    assert "product" in json.loads((project / "reports/drawn/metrics.json").read_text())["variants"]
    assert "methods.product.gamma = 0.3 [factor]" in program(project, "config", "drawn", "--explain").stdout


@pytest.mark.long
def test_a_detector_is_one_file_and_a_line(project: Path) -> None:
    files = walk(project, "add-a-detector.md")
    assert run(project, sys.executable, "-c", FACE).stdout == "one face\n"
    run(project, sys.executable, "-m", "ruff", "check", str(files[0]))


@pytest.mark.long
def test_a_corpus_travels_to_its_report_and_makes_nothing_of_another_stale(tiny_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(tiny_project, project, symlinks=True)
    files = walk(project, "add-a-corpus.md")
    run(project, sys.executable, "-m", "ruff", "check", str(files[0]))
    tree = tmp_path / "emodb"
    for speaker in ("03", "08", "09", "10", "11"):
        for emotion in "WFNT":
            write_wav(tree / f"wav/{speaker}a01{emotion}a.wav", 0.5, seed=int(speaker))
    write(tree / "wav/._03a01Wa.wav", "shadow")
    write(tree / "wav/03a02Ta.wav", "no sound")
    classes = ("--classes", "angry,happy,neutral,sad", "--variants", "audio_only")
    program(project, "add-corpus", "emodb", "--root", str(tree), *classes)
    program(project, "inventory", "emodb")
    done = program(project, "manifest", "emodb", check=False)
    assert done.returncode == 3 and "03a02Ta: wav_unreadable" in done.stderr
    (tree / "wav/03a02Ta.wav").unlink()
    ran = re.findall(r"Running stage '([^']+)'", repro(project).stdout)
    assert "report@emodb" in ran and (project / "reports/emodb/report.html").is_file()
    assert [stage for stage in ran if "emodb" not in stage] == ["inventory@drawn"], "it looks at the files each time"
    index = json.loads((project / "data/emodb/shards/index.json").read_text())
    assert [len(shard["keys"]) for shard in index["shards"]] == [4] * 5
