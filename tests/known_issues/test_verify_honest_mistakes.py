"""`foalnet verify` names the mistakes that people make without meaning to: each passed once."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from foalnet.artifact.checkpoint import load_checkpoint, to_bytes
from foalnet.artifact.model import model_bytes, read_model
from foalnet.artifact.seal import sealed_bytes
from foalnet.shards import open_shards
from foalnet.shards.index import index_bytes
from foalnet.shards.write import write_shard
from tests.support.projects import change_params
from tests.support.remotes import Place, broken, commit_all, forge, links

MODEL = "models/drawn/foal-s1"


@pytest.fixture
def project(pushed: Place, tmp_path: Path) -> Path:
    return pushed.copy(tmp_path).project


def named(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return name -> what was seen of every link that does not hold."""
    return {link.name: link.result for link in broken(links(project, monkeypatch))}


def test_a_file_that_was_never_added_to_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "foalnet" / "extra.py").write_text("VALUE = 1\n")
    (project / "foalnet" / ".extra.py.swp").write_text("an editor's")
    results = named(project, monkeypatch)
    assert list(results) == ["commit"] and "foalnet/extra.py in no commit" in results["commit"]
    assert ".swp" not in results["commit"]


@pytest.mark.parametrize(
    "file",
    [
        "flows/retrain.py",
        *(
            pytest.param(f, marks=pytest.mark.long)
            for f in ("foalnet/config/blocks.py", "pyproject.toml", ".dvcignore")
        ),
    ],
)
def test_a_change_outside_of_the_code_that_stages_list(
    project: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    path = project / file
    path.write_text(path.read_text() + "\n# more\n")
    git_flag(project, file)
    assert f"{file} changed" in named(project, monkeypatch)["commit"]


def git_flag(project: Path, file: str) -> None:
    """Let `git status` be silent about a file, as some people do."""
    from foalnet.artifact.gitrepo import git

    git(project, "update-index", "--assume-unchanged", file)


@pytest.mark.long
def test_figures_that_no_commit_holds_yet_are_no_fault(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text() + "\n")
    results = links(project, monkeypatch)
    [link] = [link for link in results if link.verdict == "skipped"]
    assert broken(results) == [] and link.name == "commit of the results"
    assert "dvc.lock" in link.result and link.action == "git add dvc.lock && git commit"


@pytest.mark.long
def test_a_final_model_without_tensors(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, content = read_model(project / "models/drawn/final")
    forge(project, {"models/drawn/final/model.safetensors": lambda _: model_bytes({}, content)})
    assert "the checkpoint is from another network" in named(project, monkeypatch)["final model"]


@pytest.mark.long
def test_a_fold_with_weights_of_noise(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing made the logits from them, and every digest agrees."""
    name = "fold-Session3.safetensors"
    weights, facts = load_checkpoint(project / MODEL / name)
    torch.manual_seed(1)
    noise = to_bytes({key: torch.randn_like(value.float()).to(value.dtype) for key, value in weights.items()}, facts)

    def vouching(old: bytes) -> bytes:
        train = json.loads(old)
        train["files"][name] = hashlib.sha256(noise).hexdigest()
        return sealed_bytes("train.json", train)

    forge(project, {f"{MODEL}/{name}": lambda _: noise, f"{MODEL}/train.json": vouching})
    results = named(project, monkeypatch)
    assert "its network does not give the stored logits" in results["foal-s1 checkpoints"]
    assert [link for link in results if link.startswith("foal-s1 ")] == ["foal-s1 checkpoints"]


@pytest.mark.long
def test_utterances_that_were_cut_out_of_a_shard(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shard and index agree, and the account says another number."""
    folder = project / "data/drawn/shards"
    shards = open_shards(folder)
    entry, *others = shards.entries
    kept = [sample for sample in shards.samples() if sample.key in entry.keys[4:]]
    cut = project / "cut" / Path(entry.path).name
    cut.parent.mkdir()
    new = write_shard(cut, kept, session=entry.session, group=entry.group)
    index = index_bytes(folder, "drawn", [replaced(new, entry.path), *others])
    data = cut.read_bytes()
    shutil.rmtree(cut.parent)
    forge(project, {f"data/drawn/shards/{entry.path}": lambda _: data, "data/drawn/shards/index.json": lambda _: index})
    results = named(project, monkeypatch)["account of staging"]
    assert "4 utterances are neither in the shards nor dropped with a reason" in results and entry.keys[0] in results


def replaced(entry: object, path: str) -> object:
    from dataclasses import replace

    return replace(entry, path=path)  # type: ignore[type-var]


@pytest.mark.long
def test_shares_of_the_drawn_corpus_that_were_changed_after_the_drawing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_params(project, draw={"share_both": 0.24, "share_face": 0.24})
    commit_all(project)
    results = named(project, monkeypatch)
    assert "are not those that the block `draw` of params.yaml plans" in results["plan of the drawn corpus"]


@pytest.mark.long
def test_settings_that_point_the_drawn_corpus_at_another_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inventory there is of other files than the stage `draw` made."""
    other = tmp_path / "other"
    shutil.copytree(project / "data/drawn/raw", other)
    label = min(other.rglob("EmoEvaluation/Ses*.txt"))
    label.write_bytes(label.read_bytes() + b"\n")
    (project / "settings.yaml").write_text(f"roots: {{drawn: {other}}}\n")
    path = label.relative_to(other).as_posix()

    def of_the_other(data: bytes) -> bytes:
        inventory = json.loads(data)
        inventory.pop("seal", None)
        for one in inventory["files"]:
            if one["path"] == path:
                one |= {"size": label.stat().st_size, "sha256": hashlib.sha256(label.read_bytes()).hexdigest()}
        return sealed_bytes("inventory.json", inventory)

    forge(project, {"data/drawn/inventory.json": of_the_other})
    assert path in named(project, monkeypatch)["corpus files"]


@pytest.mark.long
def test_a_foreign_shard_that_dvcignore_hides(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = project / "data/drawn/shards/Session1/000009.tar"
    foreign.write_bytes(b"foreign")
    (project / ".dvcignore").write_text((project / ".dvcignore").read_text() + "000009.tar\n")
    commit_all(project)
    results = named(project, monkeypatch)
    assert "Session1/000009.tar" in results["shards by their index"]
    assert not [name for name in results if " output " in name]


@pytest.mark.long
def test_figures_that_were_edited_are_restored_and_not_committed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = project / "reports/drawn/metrics.json"
    metrics.write_text(metrics.read_text().replace("0", "1", 1))
    results = links(project, monkeypatch)
    first = broken(results)[0]
    assert first.name == "commit of the results" and first.verdict == "differs"
    assert "reports/drawn/metrics.json is not what the run wrote: expected " in first.result
    assert first.action.startswith("restore it by `git checkout -- reports/drawn/metrics.json`, or run `dvc repro ")
    assert not [link for link in results if "git add" in link.action]
    # Where dvc.lock is newer than the commit, an older file is no help.
    (project / "dvc.lock").write_text((project / "dvc.lock").read_text() + "\n")
    first = broken(links(project, monkeypatch))[0]
    assert first.action == "`dvc repro --force --single-item report@drawn`"


@pytest.mark.long
def test_a_shard_that_was_cut_short_is_named_with_its_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project / "data/drawn/shards"
    [*_, entry] = open_shards(folder).entries
    shard = folder / entry.path
    data = shard.read_bytes()
    shard.unlink()  # it may be a link into the cache
    shard.write_bytes(data[: entry.ends[0] - 600])
    bytes_of = f"{entry.ends[0] - 600:,} of {entry.size:,} bytes"
    results = links(project, monkeypatch)
    for name in ("shards by their index", "foal-s1 checkpoints"):
        [link] = [link for link in results if link.name == name]
        assert f"it is shorter than {'the' if 'by' in name else 'its'} index says: {bytes_of}" in link.result
        assert entry.path in link.result and "while it was read" not in link.result
        assert link.action.endswith("dvc repro --force --single-item shards@drawn")
    assert not [link for link in results if "foalnet-verify-" in link.result], "a folder that is gone by then"


@pytest.mark.parametrize("remote", [True, False])
def test_a_clone_pulls_only_where_it_has_a_remote(
    pushed: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, remote: bool
) -> None:
    clone = pushed.clone(tmp_path / "clone")
    if not remote:
        (clone / ".dvc/config.local").unlink()
    actions = {link.action for link in broken(links(clone, monkeypatch)) if link.verdict == "absent"}
    assert any("dvc repro shards@drawn" in action for action in actions)
    assert any("dvc pull" in action for action in actions) == remote
