"""`foalnet verify` on a whole road: every link holds, and each kind of change is named where it was made."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load, save

from foalnet.files import json_bytes, jsonl_bytes
from foalnet.final.card import card_md
from foalnet.final.seal import model_bytes, read_model
from foalnet.seal import SEAL, sealed_bytes
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
    path.write_bytes(value("variants.foal.ua", name="metrics.json")(path.read_bytes()))


CHANGES: list[tuple[Callable[[Path], None], list[str]]] = [
    (code, ["commit", "evaluate@drawn-audio_only-s1 code"]),
    (a_param, ["commit", "evaluate@drawn-audio_only-s1 params"]),
    (a_record, ["commit", "shards@drawn input data/drawn/manifest.jsonl"]),
    (a_command, ["commit", "manifest@drawn recipe"]),
    (a_shard, ["shards@drawn output data/drawn/shards", "shards by their index"]),
    (a_raw_file, ["draw output data/drawn/raw", "corpus files"]),
    (the_page, ["report@drawn output reports/drawn/report.html", "page reports/drawn/report.html"]),
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


Change = Callable[[bytes], bytes]


def forge(project: Path, changes: dict[str, Change]) -> None:
    """Change outputs and every record of them in dvc.lock, as one who covers his tracks; commit it."""
    text = (project / "dvc.lock").read_text()
    for path, change in changes.items():
        file = project / path
        data = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(change(data))
        assert file.read_bytes() != data, path
        text = text.replace(hashlib.md5(data).hexdigest(), hashlib.md5(file.read_bytes()).hexdigest())
    lock = yaml.safe_load(text)
    digests: dict[str, str] = {}
    for stage in lock["stages"].values():
        for one in (*stage["deps"], *stage["outs"]):
            if any(path.startswith(f"{one['path']}/") for path in changes):
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


def other_label(data: bytes) -> bytes:
    rows = [json.loads(line) for line in data.splitlines()]
    rows[0]["predicted"] = next(row["predicted"] for row in rows if row["predicted"] != rows[0]["predicted"])
    return jsonl_bytes(rows)


def other_probabilities(data: bytes) -> bytes:
    """The same classes, said with another confidence."""
    rows = [json.loads(line) for line in data.splitlines()]
    rows[0]["probabilities"] = [round(0.9 * p + 0.025, 6) for p in rows[0]["probabilities"]]
    return jsonl_bytes(rows)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def other_digit(data: bytes) -> bytes:
    return (b"1" if data[:1] == b"0" else b"0") + data[1:]


def words(old: str, new: str) -> Change:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return change


def value(path: str, *, name: str | None = None, to: object = None) -> Change:
    """Put another value at a dotted path of a JSON object; with `name` under a new seal, else beside the old one."""

    def change(data: bytes) -> bytes:
        told = json.loads(data)
        *above, last = path.split(".")
        place = told
        for step in above:
            place = place[step]
        place[last] = place[last] + 0.01 if to is None else to
        return sealed_bytes(name, told) if name else json_bytes(told)

    return change


def unsealed(data: bytes) -> bytes:
    return json_bytes({key: value for key, value in json.loads(data).items() if key != SEAL})


P_VALUE = "differences.foal_minus_audio_only.ua_p"
REPORT, RUN, MODEL = "reports/drawn/metrics.json", "reports/drawn/runs/foal-s1", "models/drawn/foal-s1"
COUNTS, FINAL = "reports/drawn/counts.json", "models/drawn/final"
FIGURE = re.compile(rb"\d\d\.\d(?=\D)")
FORGERIES: list[tuple[str, str, Change, list[str]]] = [
    ("a label", f"{RUN}/predictions.jsonl", other_label, ["foal-s1 predictions", "figures"]),
    ("a probability", f"{RUN}/predictions.jsonl", other_probabilities, ["foal-s1 predictions"]),
    ("a run's UA", f"{RUN}/metrics.json", value("pooled.ua", name="metrics.json"), ["foal-s1 metrics"]),
    ("a run's recall of a fold", f"{RUN}/metrics.json", value("folds.Session2.wa", name="metrics.json"),
     ["foal-s1 metrics"]),
    ("a run's metrics, its seal left", f"{RUN}/metrics.json", value("pooled.ua"), ["foal-s1 metrics"]),
    ("a run's metrics, its seal taken", f"{RUN}/metrics.json", unsealed, ["foal-s1 metrics"]),
    ("a byte of the logits", f"{MODEL}/logits.safetensors", flipped, ["foal-s1 files"]),
    ("a byte of a fold", f"{MODEL}/fold-Session3.safetensors", flipped, ["foal-s1 files", "foal-s1 checkpoints"]),
    ("a loss of the history", f"{MODEL}/history.csv", words("Session1,1,", "Session1,2,"), ["foal-s1 files"]),
    ("keys of the logits", f"{MODEL}/logits.json", words('"dev"', '"dew"'), ["foal-s1 files"]),
    ("the training's code", f"{MODEL}/train.json", value("code", name="train.json", to="0" * 64), ["foal-s1 facts"]),
    ("a count of the training, its seal left", f"{MODEL}/train.json", value("counts.bad_steps", to=1),
     ["foal-s1 facts"]),
    ("the training, its seal taken", f"{MODEL}/train.json", unsealed, ["foal-s1 facts"]),
    ("a byte of the final model", f"{FINAL}/model.safetensors", flipped, ["final model"]),
    ("a score of the card", f"{FINAL}/card.json", value("out_of_fold.ua"), ["final model", "final card"]),
    ("a limit of the card", f"{FINAL}/card.md", words("acted emotion", "emotion"), ["final model"]),
    ("a transcript", "data/drawn/manifest.jsonl", words('"transcript": "', '"transcript": "So, '),
     ["digest of the manifest"]),
    ("the manifest's digest", "data/drawn/manifest.sha256", other_digit, ["digest of the manifest"]),
    ("a file's digest", "data/drawn/inventory.json", words('"sha256": "', '"sha256": "0'), ["corpus files"]),
    ("the index of the shards, its seal taken", "data/drawn/shards/index.json", unsealed, ["shards by their index"]),
    ("the index of the features, its seal taken", "data/drawn/features/index.json", unsealed,
     ["features of the shards"]),
    ("a count, its seal left", COUNTS, value("used"), ["counts of the manifest"]),
    ("a count", COUNTS, value("found.raw_labels.ang", name="counts.json", to=99), ["counts of the manifest"]),
    ("a ledger of the counts", COUNTS, value("ledger", name="counts.json", to={"dropped/segment_invalid": 1}),
     ["manifest of the labels"]),
    ("the counts, their seal taken", COUNTS, unsealed, ["counts of the manifest"]),
    ("the account of staging, its seal taken", "reports/drawn/staging.json", unsealed, ["account of staging"]),
    ("the report's UA", REPORT, value("variants.foal.ua", name="metrics.json"), ["figures"]),
    ("a bound of the report", REPORT, value("variants.foal.ua_low", name="metrics.json"), ["figures"]),
    ("a p value of the report", REPORT, value(P_VALUE, name="metrics.json"), ["figures"]),
    ("the report's figures, their seal left", REPORT, value("variants.foal.ua"), ["figures"]),
    ("the report's figures, their seal taken", REPORT, unsealed, ["figures"]),
    ("a figure on the page", "reports/drawn/report.html", lambda data: FIGURE.sub(b"99.9", data, count=1),
     ["page reports/drawn/report.html"]),
    ("a figure on the page's twin", "reports/drawn/report.md", lambda data: FIGURE.sub(b"99.9", data, count=1),
     ["page reports/drawn/report.md"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    # Every fifth of them in `make test`.
    [
        pytest.param(*each[1:], id=each[0], marks=[pytest.mark.long] if number % 5 else [])
        for number, each in enumerate(FORGERIES)
    ],
)
def test_what_dvc_lock_was_made_to_agree_with_is_still_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, path: str, change: Change, expected: list[str]
) -> None:
    forge(project, {path: change})
    hold_named(project, monkeypatch, expected)


def hold_named(project: Path, monkeypatch: pytest.MonkeyPatch, expected: list[str]) -> None:
    """Links by content are broken, those of dvc.lock and git are not; no folder that is gone is spoken of."""
    found = broken(links(project, monkeypatch))
    named = [link.name for link in found]
    assert set(expected) <= set(named), named
    assert not [name for name in named if " output " in name or " input " in name or name == "commit"], named
    assert not [link for link in found if "foalnet-verify-" in str(link)]


def a_fold(project: Path) -> dict[str, Change]:
    """A byte of a fold's model, and train.json made to vouch for it."""
    name = "fold-Session3.safetensors"
    return {
        f"{MODEL}/{name}": flipped,
        f"{MODEL}/train.json": vouching(name, flipped((project / MODEL / name).read_bytes())),
    }


def a_transcript(project: Path) -> dict[str, Change]:
    """A word of the manifest, and manifest.sha256 made to vouch for it."""
    change = words('"transcript": "', '"transcript": "So, ')
    digest = hashlib.sha256(change((project / "data/drawn/manifest.jsonl").read_bytes())).hexdigest()
    return {
        "data/drawn/manifest.jsonl": change,
        "data/drawn/manifest.sha256": lambda _: f"{digest}  manifest.jsonl\n".encode(),
    }


def logits(project: Path) -> dict[str, Change]:
    """Other logits, and train.json made to vouch for them."""

    def change(data: bytes) -> bytes:
        return save({name: -tensor for name, tensor in load(data).items()})

    name = "logits.safetensors"
    data = change((project / MODEL / name).read_bytes())
    return {f"{MODEL}/{name}": change, f"{MODEL}/train.json": vouching(name, data)}


def a_confidence(project: Path) -> dict[str, Change]:
    """A probability, and the run's metrics.json made to vouch for it."""
    data = other_probabilities((project / RUN / "predictions.jsonl").read_bytes())
    digest = hashlib.sha256(data).hexdigest()
    return {
        f"{RUN}/predictions.jsonl": other_probabilities,
        f"{RUN}/metrics.json": value("predictions.sha256", name="metrics.json", to=digest),
    }


def the_card(project: Path) -> dict[str, Change]:
    """A better score on the card: in the model, under a new seal of its own, and in both files beside it."""
    weights, content = read_model(project / FINAL / "model.safetensors")
    card = json.loads(json.dumps(content.card))
    card["out_of_fold"]["ua"] += 0.01
    return {
        f"{FINAL}/model.safetensors": lambda _: model_bytes(weights, replace(content, card=card)),
        f"{FINAL}/card.json": value("out_of_fold.ua"),
        f"{FINAL}/card.md": lambda _: card_md(card).encode(),
    }


def vouching(name: str, data: bytes) -> Change:
    """Let train.json name the digest of other bytes, under a new seal."""

    def change(old: bytes) -> bytes:
        told = json.loads(old)
        told["files"][name] = hashlib.sha256(data).hexdigest()
        return sealed_bytes("train.json", told)

    return change


TOGETHER: list[tuple[Callable[[Path], dict[str, Change]], list[str]]] = [
    (a_fold, ["foal-s1 checkpoints"]),
    (
        a_transcript,
        ["manifest of the labels", "final model", "page reports/drawn/report.html", "page reports/drawn/report.md"],
    ),
    (logits, ["foal-s1 predictions", "foal-s1 metrics"]),
    (a_confidence, ["foal-s1 predictions", "foal-s1 metrics"]),
    (the_card, ["final card"]),
]


@pytest.mark.long
@pytest.mark.parametrize(("changes", "expected"), TOGETHER, ids=lambda each: getattr(each, "__name__", ""))
def test_files_that_were_made_to_vouch_for_each_other_are_still_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, changes: Callable[[Path], dict[str, Change]], expected: list[str]
) -> None:
    forge(project, changes(project))
    hold_named(project, monkeypatch, expected)


def test_a_licensed_corpus_that_is_not_here_is_skipped_in_words(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The drawn files moved away, and a root in the settings: the corpus is then like a licensed one."""
    shutil.move(project / "data/drawn/raw", tmp_path / "corpus")
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'corpus'}}}\n")
    found = {link.name: link for link in links(project, monkeypatch)}
    assert found["corpus files"].verdict == found["manifest of the labels"].verdict == "ok"
    (project / "settings.yaml").write_text(f"roots: {{drawn: {tmp_path / 'nowhere'}}}\n")
    found = {link.name: link for link in links(project, monkeypatch)}
    assert found["corpus files"].verdict == "skipped"
    assert "what lies behind the inventory is verified" in found["corpus files"].found
    assert found["manifest of the labels"].verdict == "skipped"
    assert code_of(list(found.values())) == 0
