"""`foalnet verify` on a whole road: every link holds, and each kind of change is named where it was made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from foalnet.artifact.gitrepo import git
from foalnet.artifact.seal import SEAL, sealed_bytes
from foalnet.checks.verify import code_of
from foalnet.core.files import json_bytes, jsonl_bytes
from tests.support.projects import change_params, verb
from tests.support.remotes import Change, Place, broken, commit_all, flip, forge, links


@pytest.fixture
def project(pushed: Place, tmp_path: Path) -> Path:
    return pushed.copy(tmp_path).project


def state(project: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file, git's and DVC's own too."""
    return {
        path.relative_to(project).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(project.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_link_of_a_finished_road_holds_and_nothing_is_written(project: Path) -> None:
    before = state(project)
    done = verb(project, "verify", "drawn")
    assert state(project) == before
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}, done.stdout
    assert lines[-1] == f"drawn: {len(lines) - 1} links hold, 0 differ, 0 are absent"
    stages = (
        "draw",
        "inventory@drawn",
        "manifest@drawn",
        "shards@drawn",
        "features@drawn",
        "final@drawn",
        "report@drawn",
    )
    runs = [f"{verb}@drawn-{name}-s1" for verb in ("train", "evaluate") for name in ("audio_only", "foal")]
    for stage in (*stages, *runs):
        assert any(line.startswith(f"ok       {stage} recipe: ") for line in lines), stage


@pytest.mark.long
def test_models_of_another_kind_of_processor_hold_and_both_kinds_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foalnet.core.processor.processor", lambda *_: "Another family 1 model 2")
    result = json.loads(verb(project, "verify", "--json").stdout)["drawn"]
    assert result["code"] == 0
    made = json.loads((project / "models/drawn/foal-s1/train.json").read_text())
    [text] = [link["result"] for link in result["links"] if link["name"] == "foal-s1 checkpoints"]
    assert f"made on another kind of processor: {made['processor']} ({made['instructions']})" in text
    assert text.endswith(f"this is Another family 1 model 2 ({made['instructions']})")


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new, 1))


def code(project: Path) -> None:
    with (project / "foalnet/stages/evaluate/scoring.py").open("a") as code:
        code.write("# more\n")


def a_param(project: Path) -> None:
    change_params(project, evaluate={"calibration_bins": 5})


def a_record(project: Path) -> None:
    """Another digest of the manifest where `shards` read it."""
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    for dep in lock["stages"]["shards@drawn"]["deps"]:
        if dep["path"] == "data/drawn/manifest.jsonl":
            dep["md5"] = "0" * 32
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def a_command(project: Path) -> None:
    rewrite(project / "dvc.yaml", "cmd: foalnet manifest ${key}", "cmd: foalnet manifest ${key} ")
    rewrite(project / "dvc.yaml", "        - foalnet/artifact/table.py\n", "")


def a_shard(project: Path) -> None:
    flip(project / "data/drawn/shards/Session2/000000.tar", 3000)


def a_raw_file(project: Path) -> None:
    flip(min((project / "data/drawn/raw").rglob("sentences/wav/*/Ses*.wav")))


def the_page(project: Path) -> None:
    rewrite(project / "reports/drawn/report.html", "loso_dev_session", "loso_dev_sessiom")


def the_figures(project: Path) -> None:
    path = project / "reports/drawn/metrics.json"
    path.write_bytes(value("variants.foal.ua", name="metrics.json")(path.read_bytes()))


CHANGES: list[tuple[Callable[[Path], None], list[str]]] = [
    (code, ["commit", "evaluate@drawn-audio_only-s1 code"]),
    (a_param, ["commit", "evaluate@drawn-audio_only-s1 params"]),
    (a_record, ["shards@drawn input data/drawn/manifest.jsonl"]),
    (a_command, ["commit", "manifest@drawn recipe"]),
    (a_shard, ["shards@drawn output data/drawn/shards", "shards by their index"]),
    (a_raw_file, ["draw output data/drawn/raw", "corpus files"]),
    (the_page, ["report@drawn output reports/drawn/report.html", "page reports/drawn/report.html"]),
    (the_figures, ["commit of the results", "report@drawn output reports/drawn/metrics.json", "figures"]),
]


@pytest.mark.parametrize(
    ("change", "expected"),
    # Every sixth of them in `make test`.
    [
        pytest.param(*each, id=each[0].__name__, marks=[pytest.mark.long] if number % 6 != 1 else [])
        for number, each in enumerate(CHANGES)
    ],
)
def test_a_change_is_named_where_it_was_made(
    project: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], expected: list[str]
) -> None:
    change(project)
    checked = links(project, monkeypatch)
    named = broken(checked)
    assert [link.name for link in named][: len(expected)] == expected, named
    assert code_of(checked) == 3
    assert all(link.action for link in named)


def other_label(data: bytes) -> bytes:
    rows = [json.loads(line) for line in data.splitlines()]
    rows[0]["predicted"] = next(row["predicted"] for row in rows if row["predicted"] != rows[0]["predicted"])
    return jsonl_bytes(rows)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def replaced(old: str, new: str) -> Change:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return change


def value(path: str, *, name: str | None = None, to: object = None) -> Change:
    """Put another value at a dotted path of a JSON object; with `name` under a new seal, else beside the old one."""

    def change(data: bytes) -> bytes:
        content = json.loads(data)
        *above, last = path.split(".")
        place = content
        for step in above:
            place = place[step]
        place[last] = place[last] + 0.01 if to is None else to
        return sealed_bytes(name, content) if name else json_bytes(content)

    return change


def unsealed(data: bytes) -> bytes:
    return json_bytes({key: value for key, value in json.loads(data).items() if key != SEAL})


REPORT, RUN, MODEL = "reports/drawn/metrics.json", "reports/drawn/runs/foal-s1", "models/drawn/foal-s1"
COUNTS, FINAL = "reports/drawn/counts.json", "models/drawn/final"
FIGURE = re.compile(rb"\d\d\.\d(?=\D)")
MISTAKES: list[tuple[str, str, Change, list[str]]] = [
    ("a label", f"{RUN}/predictions.jsonl", other_label, ["foal-s1 predictions", "figures"]),
    ("a byte of the logits", f"{MODEL}/logits.safetensors", flipped, ["foal-s1 files"]),
    ("a byte of a fold", f"{MODEL}/fold-Session3.safetensors", flipped, ["foal-s1 files", "foal-s1 checkpoints"]),
    ("a count of the training", f"{MODEL}/train.json", value("counts.bad_steps", to=1), ["foal-s1 facts"]),
    ("a byte of the final model", f"{FINAL}/model.safetensors", flipped, ["final model"]),
    ("a limit of the card", f"{FINAL}/card.md", replaced("acted emotion", "emotion"), ["final model"]),
    ("a transcript", "data/drawn/manifest.jsonl", replaced('"transcript": "', '"transcript": "So, '),
     ["digest of the manifest"]),
    ("a count", COUNTS, value("counted.raw_labels.ang", name="counts.json", to=99), ["counts of the manifest"]),
    ("the index of the shards, its seal taken", "data/drawn/shards/index.json", unsealed, ["shards by their index"]),
    ("a bound of the report", REPORT, value("variants.foal.ua_low", name="metrics.json"), ["figures"]),
    ("a figure on the page", "reports/drawn/report.html", lambda data: FIGURE.sub(b"99.9", data, count=1),
     ["page reports/drawn/report.html"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    # The last of them in `make test`.
    [
        pytest.param(*each[1:], id=each[0], marks=[pytest.mark.long] if number < len(MISTAKES) - 1 else [])
        for number, each in enumerate(MISTAKES)
    ],
)
def test_an_edited_output_that_dvc_commit_recorded_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, path: str, change: Change, expected: list[str]
) -> None:
    forge(project, {path: change})
    hold_named(project, monkeypatch, expected)


def hold_named(project: Path, monkeypatch: pytest.MonkeyPatch, expected: list[str]) -> None:
    """Links by content are broken, those of dvc.lock and git are not; no folder that is gone is spoken of."""
    differing = broken(links(project, monkeypatch))
    named = [link.name for link in differing]
    assert set(expected) <= set(named), named
    assert not [name for name in named if " output " in name or " input " in name or name == "commit"], named
    assert not [link for link in differing if "foalnet-verify-" in str(link)]


@pytest.mark.long
def test_an_absent_licensed_corpus_is_skipped_with_a_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The drawn files moved away, no stage that draws them, a root in the settings: a corpus like a licensed one."""
    shutil.move(project / "data/drawn/raw", tmp_path / "corpus")
    for name in ("dvc.yaml", "dvc.lock"):
        graph = yaml.safe_load((project / name).read_text())
        del graph["stages"]["draw"]
        (project / name).write_text(yaml.safe_dump(graph, sort_keys=False))
    source = project / "data/drawn/raw"
    source.write_text("a small file in git, as add-corpus writes it")
    git(project, "add", "-f", "data/drawn/raw")
    commit_all(project)
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'corpus'}}}\n")
    by_name = {link.name: link for link in links(project, monkeypatch)}
    assert by_name["corpus files"].verdict == by_name["manifest of the labels"].verdict == "ok"
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'nowhere'}}}\n")
    by_name = {link.name: link for link in links(project, monkeypatch)}
    assert by_name["corpus files"].verdict == "skipped"
    assert "only the stages after the inventory are verified" in by_name["corpus files"].result
    assert by_name["manifest of the labels"].verdict == "skipped"
    assert [link.name for link in broken(list(by_name.values()))] == ["inventory@drawn input data/drawn/raw"]
