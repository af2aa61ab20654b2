"""`foalnet verify` on a whole road: every link holds, and each kind of change is named where it was made."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from foalnet.verify import code_of
from foalnet.verify.digests import folder_md5
from tests.projects import change_params, verb
from tests.remotes import Place, broken, commit_all, flip, links


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
    text = json.loads(verb(project, "verify", "--json").stdout)
    assert text["drawn"]["code"] == 0 and len(text["drawn"]["links"]) == len(lines) - 1
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


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new, 1))


def code(project: Path) -> None:
    (project / "foalnet" / "evaluate.py").write_text((project / "foalnet" / "evaluate.py").read_text() + "# more\n")


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
    rewrite(project / "dvc.yaml", "        - foalnet/table.py\n", "")


def a_shard(project: Path) -> None:
    flip(project / "data/drawn/shards/Session2/000000.tar", 3000)


def a_raw_file(project: Path) -> None:
    flip(min((project / "data/drawn/raw").rglob("sentences/wav/*/Ses*.wav")))


def the_page(project: Path) -> None:
    rewrite(project / "reports/drawn/report.html", "loso_dev_session", "loso_dev_sessiom")


def the_figures(project: Path) -> None:
    path = project / "reports/drawn/metrics.json"
    path.write_text(other_figure(path.read_text()))


CHANGES: list[tuple[Callable[[Path], None], list[str]]] = [
    (code, ["commit", "evaluate@drawn-audio_only-s1 code"]),
    (a_param, ["commit", "evaluate@drawn-audio_only-s1 params"]),
    (a_record, ["commit", "shards@drawn input data/drawn/manifest.jsonl"]),
    (a_command, ["commit", "manifest@drawn recipe"]),
    (a_shard, ["shards@drawn output data/drawn/shards", "shards by their index"]),
    (a_raw_file, ["draw output data/drawn/raw", "corpus files"]),
    (the_page, ["report@drawn output reports/drawn/report.html"]),
    (the_figures, ["commit", "report@drawn output reports/drawn/metrics.json", "figures"]),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_change_is_named_where_it_was_made(
    project: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], expected: list[str]
) -> None:
    change(project)
    found = links(project, monkeypatch)
    named = broken(found)
    assert [link.name for link in named][: len(expected)] == expected, named
    assert code_of(found) == 3
    assert all(link.action for link in named)


def forge(project: Path, path: str, change: Callable[[str], str]) -> None:
    """Change an output and every record of it in dvc.lock, as one who covers his tracks; commit it."""
    file = project / path
    before = hashlib.md5(file.read_bytes()).hexdigest()
    file.write_text(change(file.read_text()))
    after = hashlib.md5(file.read_bytes()).hexdigest()
    text = (project / "dvc.lock").read_text().replace(before, after)
    lock = yaml.safe_load(text)
    digests: dict[str, str] = {}
    for stage in lock["stages"].values():
        for one in (*stage["deps"], *stage["outs"]):
            if path.startswith(f"{one['path']}/"):
                one["md5"] = digests.setdefault(one["path"], folder(project / one["path"]))
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    commit_all(project)


def folder(path: Path) -> str:
    files = {
        file.relative_to(path).as_posix(): hashlib.md5(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }
    return folder_md5(files)


def other_label(text: str) -> str:
    rows = [json.loads(line) for line in text.splitlines()]
    rows[0]["predicted"] = next(row["predicted"] for row in rows if row["predicted"] != rows[0]["predicted"])
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def other_figure(text: str) -> str:
    told = json.loads(text)
    told["variants"]["foal"]["ua"] += 0.01
    return json.dumps(told)


FORGERIES: list[tuple[str, Callable[[str], str], list[str]]] = [
    ("reports/drawn/runs/foal-s1/predictions.jsonl", other_label, ["foal-s1 predictions", "figures"]),
    (
        "data/drawn/manifest.jsonl",
        lambda text: text.replace('"transcript": "', '"transcript": "So, ', 1),
        ["digests in reports/drawn/report.html", "digests in reports/drawn/report.md"],
    ),
    ("reports/drawn/metrics.json", other_figure, ["figures"]),
    ("data/drawn/inventory.json", lambda text: text.replace('"sha256": "', '"sha256": "0', 1), ["corpus files"]),
    ("models/drawn/foal-s1/train.json", lambda text: text.replace('"code": "', '"code": "0', 1), ["foal-s1 facts"]),
]


@pytest.mark.parametrize(("path", "change", "expected"), FORGERIES, ids=[each[0].split("/")[-1] for each in FORGERIES])
def test_what_dvc_lock_was_made_to_agree_with_is_still_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[str], str], expected: list[str]
) -> None:
    forge(project, path, change)
    named = [link.name for link in broken(links(project, monkeypatch))]
    assert set(expected) <= set(named), named
    assert not [name for name in named if " output " in name or " input " in name or name == "commit"], named


def test_a_licensed_corpus_that_is_not_here_is_skipped_in_words(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The drawn files moved away, and a root in the settings: the corpus is then like a licensed one."""
    shutil.move(project / "data/drawn/raw", tmp_path / "corpus")
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'corpus'}}}\n")
    found = {link.name: link for link in links(project, monkeypatch)}
    assert found["corpus files"].verdict == "ok"
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'nowhere'}}}\n")
    found = {link.name: link for link in links(project, monkeypatch)}
    assert found["corpus files"].verdict == "skipped"
    assert "what lies behind the inventory is verified" in found["corpus files"].found
    assert code_of(list(found.values())) == 0
